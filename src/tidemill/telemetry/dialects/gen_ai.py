"""OpenTelemetry's conventions for generative AI, in all their generations.

Events a message (1.26), attributes of one JSON text (before, and where content was captured on spans), structured messages on
the span or in one event (1.37 and later). https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

from typing import Final

from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.events import ANSWERED, ASKED, EventAttribute, event_messages, since_start
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.messages import said_by
from tidemill.telemetry.dialects.values import Reader, always, anything, loosely, one_of, seconds

OPERATIONS: Final = {
    "chat": "llm", "text_completion": "llm", "generate_content": "llm", "completion": "llm", "message": "llm",
    "embeddings": "embedding", "embedding": "embedding", "execute_tool": "tool", "tool": "tool", "running tool": "tool",
    "invoke_agent": "agent", "create_agent": "agent", "agent": "agent", "invoke_workflow": "chain", "workflow": "chain",
    "chain": "chain", "task": "chain", "plan": "chain", "retrieval": "retriever", "search": "retriever", "rerank": "reranker",
    "evaluate": "evaluator", "evaluation": "evaluator", "guardrail": "guardrail", "apply_guardrail": "guardrail",
}  # fmt: skip
_DETAILS: Final = frozenset({"gen_ai.client.inference.operation.details"})
_user, _assistant, _system = said_by("user"), said_by("assistant"), said_by("system")


def _detail(key: str, reader: Reader) -> Happened:
    """What the one event of the newest conventions says of a call."""
    return Happened(_DETAILS, EventAttribute(key, reader), moves=True, key=key)


DIALECT: Final = Dialect(
    name="gen_ai",
    keys=("gen_ai.",),
    events=("gen_ai.",),
    rank=90,
    fields={
        "kind": (At("gen_ai.operation.name", one_of(OPERATIONS)),),
        "implied_kind": (
            At("gen_ai.tool.name", always("tool")),
            At("gen_ai.tool.call.id", always("tool")),
            At("gen_ai.request.model", always("llm")),
            At("gen_ai.response.model", always("llm")),
            At("gen_ai.agent.name", always("agent")),
        ),
        "messages": (
            *at("gen_ai.input.messages", reader=_user),
            _detail("gen_ai.input.messages", _user),
            Happened(ASKED, event_messages, moves=True),
            *at("gen_ai.prompt", reader=_user),
            Happened(frozenset({"gen_ai.content.prompt"}), EventAttribute("gen_ai.prompt", _user)),
        ),
        "system": (
            *at("gen_ai.system_instructions", "gen_ai.system.instructions", reader=_system),
            _detail("gen_ai.system_instructions", _system),
        ),
        "tools": (
            *at("gen_ai.tool.definitions", "gen_ai.request.tools"),
            _detail("gen_ai.tool.definitions", anything),
        ),
        "output_messages": (
            *at("gen_ai.output.messages", reader=_assistant),
            _detail("gen_ai.output.messages", _assistant),
            Happened(ANSWERED, event_messages, moves=True),
            *at("gen_ai.completion", reader=_assistant),
            Happened(frozenset({"gen_ai.content.completion"}), EventAttribute("gen_ai.completion", _assistant)),
        ),
        "input": at("gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text", "gen_ai.workflow.input"),
        "output": (
            *at("gen_ai.retrieval.documents", reader=read_documents),
            *at("gen_ai.tool.call.result", reader=loosely),
            *at("gen_ai.workflow.output"),
        ),
        "model": ("gen_ai.request.model", "gen_ai.response.model"),
        "provider": ("gen_ai.provider.name", "gen_ai.system"),
        "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "cached_tokens": (
            "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.details.cached_tokens",
            "gen_ai.usage.input_tokens.cached", "gen_ai.usage.cached_tokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.details.cache_write_tokens",
        ),
        "reasoning_tokens": (
            "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
        ),
        "audio_input_tokens": ("gen_ai.usage.audio.input_tokens", "gen_ai.usage.details.input_audio_tokens"),
        "audio_output_tokens": ("gen_ai.usage.audio.output_tokens", "gen_ai.usage.details.output_audio_tokens"),
        "cost": ("gen_ai.usage.cost", "gen_ai.usage.total_cost"),
        "finish_reasons": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
        "first_token_ns": (
            At("gen_ai.response.time_to_first_chunk", seconds),
            At("gen_ai.server.time_to_first_token", seconds),
            Happened(frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"}), since_start),
        ),
        "session": ("gen_ai.conversation.id",),
        "user": ("gen_ai.request.user",),
        "tidemill.handoff.to": (handed_to("gen_ai.tool.call.arguments"),),
        "gen_ai.request.seed": ("gen_ai.openai.request.seed",),
        "gen_ai.output.type": ("gen_ai.openai.request.response_format", "gen_ai.request.response_format"),
        "openai.response.system_fingerprint": ("gen_ai.openai.response.system_fingerprint",),
    },
)  # fmt: skip
