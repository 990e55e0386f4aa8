"""OpenInference: Arize's conventions, which Phoenix and many instrumentations write.

https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, Under, Whole, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.events import since_start
from tidemill.telemetry.dialects.messages import read_messages, said_by
from tidemill.telemetry.dialects.values import always, anything, inside, is_list, is_object, one_of, text, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_KINDS: Final = {
    "llm": "llm", "embedding": "embedding", "chain": "chain", "retriever": "retriever", "reranker": "reranker", "tool": "tool",
    "agent": "agent", "guardrail": "guardrail", "evaluator": "evaluator", "prompt": "chain", "unknown": "other",
}  # fmt: skip
_user, _assistant = said_by("user"), said_by("assistant")


def _prompts(value: Json) -> Json:
    """Prompts and completions of models that do not chat: texts, or `[{"prompt": {"text"}}]`."""
    found = unpacked(value)
    said: list[Json] = []
    for each in found if is_list(found) else ():
        inner = next(iter(each.values()), None) if is_object(each) and len(each) == 1 else each
        words = inner.get("text") if is_object(inner) and len(inner) == 1 else inner
        if not isinstance(words, str):
            return None
        said.append(words)
    return said or None


def _asked(value: Json) -> Json:
    said = _prompts(value)
    return [{"role": "user", "content": each} for each in said] if is_list(said) else None


def _answered(value: Json) -> Json:
    said = _prompts(value)
    return [{"role": "assistant", "content": each} for each in said] if is_list(said) else None


def _embedded(value: Json) -> Json:
    """How many vectors there were, and how long they are. The vectors stay where they are."""
    found = [each.get("embedding", each) for each in value if is_object(each)] if is_list(value) else []
    vectors = [each.get("vector") for each in found if is_object(each) and "vector" in each]
    if not vectors:
        return None
    first = unpacked(vectors[0])
    return {"vectors": len(vectors), **({"dimensions": len(first)} if is_list(first) else {})}


def _texts_embedded(value: Json) -> Json:
    found = [each.get("embedding", each) for each in value if is_object(each)] if is_list(value) else []
    return [words for each in found if is_object(each) and (words := each.get("text")) is not None] or None


def _reranked(span: RawSpan) -> Json:
    query = text(span.attributes.get("reranker.query"))
    return {"query": query} if query else None


DIALECT: Final = Dialect(
    name="openinference",
    scopes=("openinference.",),
    keys=(
        "openinference.", "llm.input_messages", "llm.output_messages", "llm.token_count", "llm.model_name", "input.value",
        "output.value", "retrieval.documents", "reranker.", "embedding.", "llm.invocation_parameters",
    ),
    rank=60,
    fields={
        "kind": (At("openinference.span.kind", one_of(_KINDS)),),
        "implied_kind": (At("llm.model_name", always("llm")), At("tool.name", always("tool"))),
        "messages": (
            Under("llm.input_messages.", read_messages), *at("llm.input_messages", reader=_user),
            Under("llm.prompts.", _asked), *at("llm.prompts", reader=_asked),
        ),
        "output_messages": (
            Under("llm.output_messages.", read_messages), *at("llm.output_messages", reader=_assistant),
            Under("llm.choices.", _answered),
        ),
        "tools": (Under("llm.tools.", anything), *at("llm.tools")),
        "input": (
            *at("input.value"), Under("reranker.input_documents.", read_documents, moves=False),
            Under("embedding.embeddings.", _texts_embedded, moves=False), *at("embedding.text", "tool.parameters"),
            Whole(_reranked, ("reranker.query",)),
        ),
        "output": (
            Under("retrieval.documents.", read_documents), *at("retrieval.documents", reader=read_documents),
            Under("reranker.output_documents.", read_documents), *at("reranker.output_documents", reader=read_documents),
            Under("embedding.embeddings.", _embedded, moves=False), *at("output.value"),
        ),
        "parameters": ("llm.invocation_parameters",),
        "model": (
            "llm.model_name", "embedding.model_name", "reranker.model_name",
            At("llm.invocation_parameters", inside("model", reader=text)),
            At("embedding.invocation_parameters", inside("model", reader=text)),
        ),
        "provider": ("llm.provider", "llm.system"),
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "cached_tokens": ("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
        "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
        "audio_input_tokens": ("llm.token_count.prompt_details.audio",),
        "audio_output_tokens": ("llm.token_count.completion_details.audio",),
        "cost": ("llm.cost.total",),
        "finish_reasons": ("llm.finish_reason",),
        "first_token_ns": (Happened(frozenset({"First Token Stream Event"}), since_start),),
        "session": ("session.id",),
        "user": ("user.id",),
        "tags": ("tag.tags",),
        "gen_ai.tool.name": ("tool.name", "tool_call.function.name"),
        "gen_ai.tool.call.id": ("tool.id", "tool_call.id"),
        "tidemill.handoff.from": ("graph.node.parent_id",),
        "gen_ai.agent.name": ("agent.name",),
    },
)  # fmt: skip
