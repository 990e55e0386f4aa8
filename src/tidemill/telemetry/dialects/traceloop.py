"""OpenLLMetry, by Traceloop: `traceloop.*`, messages by index under `gen_ai.prompt.` and `gen_ai.completion.`, `llm.*` before.

https://github.com/traceloop/openllmetry/tree/main/packages/opentelemetry-semantic-conventions-ai
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, Under, at
from tidemill.telemetry.dialects.messages import read_messages
from tidemill.telemetry.dialects.parts import Part
from tidemill.telemetry.dialects.values import anything, is_list, is_object, loosely, number, one_of, text, unpacked
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan

_KINDS: Final = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool", "unknown": "other"}
_REQUESTS: Final = {"chat": "llm", "completion": "llm", "embedding": "embedding", "rerank": "reranker"}
_RESULT: Final = "db.query.result."
_HANDOFF: Final = ("gen_ai.handoff.to_agent", "openai.agent.handoff_to", "handoff.to_agent")


def _indexed(role: str, value: Json) -> list[Part] | None:
    """Messages by index; one without a role is said by `role`, and one whose index is missing is no message."""
    items = value if is_list(value) else [value]
    given: list[Json] = []
    for each in items:
        if not is_object(each) or not each:
            return None
        given.append(each if "role" in each else {"role": role, **each})
    return read_messages(given)


def _asked(value: Json) -> Json:
    return _indexed("user", value)


def _answered(value: Json) -> Json:
    return _indexed("assistant", value)


def _retrieved(events: Sequence[RawEvent], _span: RawSpan) -> Json:
    """What a vector database found: an event a document."""
    made: list[Json] = []
    if any(event.body is not None for event in events):
        return None
    for event in events:
        rest = {key.removeprefix(_RESULT): value for key, value in event.attributes.items()}
        score, distance = number(rest.get("score")), number(rest.get("distance"))
        document: Part = {
            "id": text(rest.pop("id", None)) or "",
            "document": "",
            "text": text(rest.pop("document", None)) or "",
            "score": score if score is not None or distance is None else -distance,
        }
        if score is not None:
            rest.pop("score")
        if (metadata := unpacked(rest.pop("metadata", None))) is not None:
            document["metadata"] = metadata
        made.append({**rest, **document})
    return made or None


def _found(_events: Sequence[RawEvent], _span: RawSpan) -> Json:
    return "retriever"


_RESULTS: Final = frozenset({"db.query.result"})

DIALECT: Final = Dialect(
    name="traceloop",
    scopes=("opentelemetry.instrumentation.openai.", "opentelemetry.instrumentation.anthropic."),
    keys=(
        "traceloop.", "llm.request.type", "llm.usage.", "gen_ai.is_streaming", "llm.is_streaming",
        "gen_ai.prompt.", "gen_ai.completion.", "llm.prompts.0.role", "llm.completions.", "llm.request.functions",
        "llm.vendor", "llm.headers",
    ),
    events=("db.query.result", "db.query.embeddings"),
    rank=70,
    fields={
        "kind": (At("traceloop.span.kind", one_of(_KINDS)), At("llm.request.type", one_of(_REQUESTS))),
        "implied_kind": (Happened(_RESULTS, _found),),
        "messages": (Under("gen_ai.prompt.", _asked), Under("llm.prompts.", _asked)),
        "output_messages": (Under("gen_ai.completion.", _answered), Under("llm.completions.", _answered)),
        "tools": (Under("llm.request.functions.", anything),),
        "input": at("traceloop.entity.input", reader=loosely),
        "output": (*at("traceloop.entity.output", reader=loosely), Happened(_RESULTS, _retrieved, moves=True)),
        "model": ("llm.request.model", "llm.response.model"),
        "provider": ("llm.vendor",),
        "input_tokens": ("llm.usage.prompt_tokens",),
        "output_tokens": ("llm.usage.completion_tokens",),
        "cached_tokens": ("llm.usage.cache_read_input_tokens", "gen_ai.usage.cache_read_input_tokens"),
        "cache_write_tokens": ("llm.usage.cache_creation_input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
        "reasoning_tokens": ("llm.usage.reasoning_tokens", "gen_ai.usage.reasoning_tokens"),
        "finish_reasons": ("llm.response.finish_reason", "llm.response.stop_reason"),
        "session": (
            "traceloop.association.properties.session_id", "traceloop.association.properties.session.id",
            "traceloop.association.properties.chat_id", "traceloop.association.properties.thread_id",
        ),
        "user": ("traceloop.association.properties.user_id", "traceloop.association.properties.user.id", "llm.user"),
        "gen_ai.request.temperature": ("llm.temperature", "llm.request.temperature"),
        "gen_ai.request.top_p": ("llm.top_p", "llm.request.top_p"),
        "gen_ai.request.top_k": ("llm.top_k",),
        "gen_ai.request.max_tokens": ("llm.request.max_tokens",),
        "gen_ai.request.stop_sequences": ("llm.chat.stop_sequences",),
        "gen_ai.request.frequency_penalty": ("llm.frequency_penalty",),
        "gen_ai.request.presence_penalty": ("llm.presence_penalty",),
        "tidemill.handoff.to": _HANDOFF,
    },
)  # fmt: skip
