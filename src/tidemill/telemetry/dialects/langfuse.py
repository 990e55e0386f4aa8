"""Langfuse: what its SDK sets on spans, also on those of other instrumentations, and what its exports come down to.

https://langfuse.com/integrations/native/opentelemetry
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.values import (
    Reader,
    anything,
    count,
    dollars,
    is_list,
    is_object,
    loosely,
    one_of,
    text,
    unpacked,
)
from tidemill.telemetry.otlp.raw import RawSpan

_PREFIX: Final = "langfuse.observation."
_TYPE: Final = _PREFIX + "type"
_INPUT: Final = _PREFIX + "input"
_OUTPUT: Final = _PREFIX + "output"
_USAGE: Final = _PREFIX + "usage_details"
_START: Final = _PREFIX + "completion_start_time"
_KINDS: Final = {
    "generation": "llm", "embedding": "embedding", "agent": "agent", "tool": "tool", "chain": "chain", "retriever": "retriever",
    "evaluator": "evaluator", "guardrail": "guardrail",
}  # fmt: skip
# By Langfuse's rule what begins with `input` adds up to the input, with `output` to the output: parts stand beside the rest.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "cached_tokens": ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens", "prompt_details.cache_read"),
    "cache_write_tokens": (
        "input_cache_creation",
        "cache_creation_input_tokens",
        "input_cache_write",
        "prompt_details.cache_write",
    ),
    "reasoning_tokens": ("output_reasoning_tokens", "output_reasoning", "completion_details.reasoning", "reasoning_tokens"),
    "audio_input_tokens": ("input_audio_tokens", "input_audio", "prompt_details.audio"),
    "audio_output_tokens": ("output_audio_tokens", "output_audio", "completion_details.audio"),
}
_OPENAI: Final[Mapping[str, tuple[str, str]]] = {
    "cached_tokens": ("prompt_tokens_details", "cached_tokens"),
    "reasoning_tokens": ("completion_tokens_details", "reasoning_tokens"),
    "audio_input_tokens": ("prompt_tokens_details", "audio_tokens"),
    "audio_output_tokens": ("completion_tokens_details", "audio_tokens"),
}


def _sum(side: str, *others: str) -> Reader:
    """All that was counted on one side: what begins with its name, else one of `others`, which hold their parts."""

    def read(value: Json) -> int | None:
        details = unpacked(value)
        if not is_object(details):
            return None
        if side in details:
            return sum(count(each) or 0 for key, each in details.items() if key == side or key.startswith(side + "_"))
        return next((found for each in others if (found := count(details.get(each))) is not None), None)

    return read


def _part(name: str) -> Reader:
    def read(value: Json) -> int | None:
        details = unpacked(value)
        if not is_object(details):
            return None
        outer, inner = _OPENAI.get(name, ("", ""))
        nested = details.get(outer)
        found = count(nested.get(inner)) if is_object(nested) else None
        return found or next((number for each in _PARTS[name] if (number := count(details.get(each)))), None)

    return read


def _cost(value: Json) -> float | None:
    details = unpacked(value)
    if not is_object(details):
        return None
    parts = [found for key, each in details.items() if key != "total" and (found := dollars(each)) is not None]
    total = dollars(details.get("total"))
    return total if total is not None else sum(parts) if parts else None


def _given(value: Json) -> Json:
    """An input; definitions of tools that LangChain's handler lists as messages are put where tools belong."""
    found = anything(value)
    if not is_list(found):
        return found
    definitions = [tool for each in found if (tool := _definition(each)) is not None]
    if not definitions:
        return found
    return {"messages": [each for each in found if _definition(each) is None], "tools": definitions}


def _definition(message: Json) -> Json:
    content = unpacked(message.get("content")) if is_object(message) and message.get("role") == "tool" else None
    return content if is_object(content) and content.get("type") == "function" and "function" in content else None


def _answer(value: Json) -> Json:
    """An output; calls of tools that stand alone, as Vercel's SDK tells them, are what an assistant says."""
    found = anything(value)
    if not is_list(found) or not found or not all(is_object(each) and "toolCallId" in each for each in found):
        return found
    calls = [{"type": "tool-call", **each} for each in found if is_object(each)]
    return {"messages": [{"role": "assistant", "content": calls}]}


def _documents(span: RawSpan) -> Json:
    if text(span.attributes.get(_TYPE)) not in ("retriever", "RETRIEVER"):
        return None
    return read_documents(span.attributes.get(_OUTPUT))


def _tool_result(span: RawSpan) -> Json:
    return loosely(span.attributes.get(_OUTPUT)) if span.attributes.get(_TYPE) in ("tool", "TOOL") else None


def _failure(span: RawSpan) -> str | None:
    """What an observation of level ERROR says of itself."""
    level = span.attributes.get(_PREFIX + "level")
    said = text(span.attributes.get(_PREFIX + "status_message")) or span.status_message
    return (said or "an observation of level ERROR") if level == "ERROR" else None


def _first_token(span: RawSpan) -> int | None:
    written = text(loosely(span.attributes.get(_START)))
    try:
        time = dt.datetime.fromisoformat(written) if written else None
    except ValueError:
        return None
    if time is None:
        return None
    since = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    passed = since // dt.timedelta(microseconds=1) * 1000 - span.start_ns
    return passed if 0 <= passed <= max(span.end_ns - span.start_ns, 0) + 1_000_000 else None


DIALECT: Final = Dialect(
    name="langfuse",
    scopes=("langfuse-sdk", "langfuse"),
    keys=("langfuse.",),
    rank=80,
    fields={
        "kind": (At(_TYPE, one_of(_KINDS)),),
        "implied_kind": (At(_TYPE, one_of({"span": "chain", "event": "other"})),),
        "input": at(_INPUT, reader=_given),
        "output": (
            Whole(_documents, (_OUTPUT,), moves=True), Whole(_tool_result, (_OUTPUT,), moves=True),
            *at(_OUTPUT, reader=_answer),
        ),
        "model": (_PREFIX + "model.name", _PREFIX + "model"),
        "parameters": (_PREFIX + "model.parameters",),
        "input_tokens": (At(_USAGE, _sum("input", "prompt_tokens", "input_tokens", "promptTokens")),),
        "output_tokens": (At(_USAGE, _sum("output", "completion_tokens", "output_tokens", "completionTokens")),),
        **{name: (At(_USAGE, _part(name)),) for name in _PARTS},
        "cost": (At(_PREFIX + "cost_details", _cost),),
        "first_token_ns": (Whole(_first_token, (_START,)),),
        "finish_reasons": (At(_PREFIX + "metadata.finish_reason", lambda value: _words(loosely(value))),),
        "user": ("user.id", "langfuse.user.id"),
        "session": ("session.id", "langfuse.session.id"),
        "tags": ("langfuse.trace.tags",),
        "release": ("langfuse.release",),
        "error": (Whole(_failure, (_PREFIX + "level",)),),
        "tidemill.environment": ("langfuse.environment",),
    },
)  # fmt: skip


def _words(value: Json) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) and value else None
