"""Haystack: its pipelines, components and agents, by the tracer of `opentelemetry-haystack` (before 3.0: its own).

https://docs.haystack.deepset.ai/docs/tracing
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.values import always, anything, count, is_list, is_object, loosely, text, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_TYPE: Final = "haystack.component.type"
_COMPONENT: Final = ("haystack.component.input", "haystack.component.output")
_LLM: Final = ("haystack.agent.step.llm.input", "haystack.agent.step.llm.output")
_TOOL: Final = ("haystack.agent.step.tool.input", "haystack.agent.step.tool.output")
_ENDINGS: Final = {
    "Generator": "llm", "Retriever": "retriever", "Embedder": "embedding", "Ranker": "reranker", "ToolInvoker": "tool",
    "WebSearch": "tool", "Agent": "agent", "Evaluator": "evaluator", "ChatRouter": "llm", "Detector": "guardrail",
}  # fmt: skip
_ANSWERS: Final = (_COMPONENT[1], _LLM[1])
_LISTED: Final = ("retriever", "reranker")


def _kind(value: Json) -> str | None:
    """A component by the end of its class's name; one of no kind that has a name of its own is a step of a chain."""
    named = text(value)
    return next((kind for end, kind in _ENDINGS.items() if named.endswith(end)), "chain") if named else None


def _filled(value: Json) -> Json:
    """An object without what was left out: Haystack writes every argument."""
    found = anything(value)
    return {key: each for key, each in found.items() if each is not None} if is_object(found) else found


def _documents(span: RawSpan) -> Json:
    if _kind(span.attributes.get(_TYPE)) not in _LISTED:
        return None
    found = unpacked(span.attributes.get(_COMPONENT[1]))
    listed = found.get("documents") if is_object(found) and len(found) == 1 else None
    return read_documents([_filled(each) for each in listed]) if is_list(listed) else None


def _replies(span: RawSpan) -> Json:
    """A generator's replies as messages, and what else it put out."""
    found = next((each for key in _ANSWERS if (each := unpacked(span.attributes.get(key))) is not None), None)
    replies = found.get("replies") if is_object(found) else None
    if not is_object(found) or not is_list(replies):
        return None
    rest = {key: each for key, each in found.items() if key != "replies"}
    said = [{"role": "assistant", "content": each} if isinstance(each, str) else _filled(each) for each in replies]
    return {"messages": said, **rest} if rest else said


def _meta(span: RawSpan) -> Mapping[str, Json]:
    """What the first reply says of itself: the model, why it stopped, what it used."""
    found = next((each for key in _ANSWERS if (each := unpacked(span.attributes.get(key))) is not None), None)
    if not is_object(found):
        return {}
    for name in ("replies", "meta"):
        listed = found.get(name)
        first = listed[0] if is_list(listed) and listed else listed
        inner = first.get("meta", first) if is_object(first) else None
        if is_object(inner):
            return inner
    return {}


def _said(name: str) -> Whole:
    def read(span: RawSpan) -> str | None:
        return text(_meta(span).get(name))

    return Whole(read, _ANSWERS)


def _reason(span: RawSpan) -> tuple[str, ...] | None:
    said = text(_meta(span).get("finish_reason"))
    return (said,) if said else None


def _used(*path: str) -> Whole:
    def read(span: RawSpan) -> int | None:
        found: Json = _meta(span).get("usage")
        for name in path[:-1]:
            found = found.get(name) if is_object(found) else None
        return count(found.get(path[-1])) if is_object(found) else None

    return Whole(read, _ANSWERS)


def _first_token(span: RawSpan) -> int | None:
    written = text(_meta(span).get("completion_start_time"))
    try:
        time = dt.datetime.fromisoformat(written) if written else None
    except ValueError:
        return None
    if time is None:
        return None
    since = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    passed = since // dt.timedelta(microseconds=1) * 1000 - span.start_ns
    return passed if 0 <= passed <= span.end_ns - span.start_ns else None  # it has no zone: else it was another


def _written(value: Json) -> Json:
    """An agent's step is given as Python writes it, which is no form to be read: it is kept, and not taken for a message."""
    found = anything(value)
    return {"as_written": found} if isinstance(found, str) else found


DIALECT: Final = Dialect(
    name="haystack",
    keys=("haystack.",),
    rank=40,
    fields={
        "kind": (
            At(_TYPE, _kind), *(At(key, always("llm")) for key in _LLM), *(At(key, always("tool")) for key in _TOOL),
            At("haystack.tool.name", always("tool")), At("haystack.agent.input", always("agent")),
            At("haystack.agent.max_steps", always("agent")), At("haystack.agent.step", always("chain")),
            At("haystack.pipeline.input_data", always("chain")), At("haystack.pipeline.execution_mode", always("chain")),
        ),
        "input": (
            *at(_COMPONENT[0], "haystack.agent.input", reader=_filled), *at(_LLM[0], reader=_written),
            *at(_TOOL[0], "haystack.pipeline.input_data"),
        ),
        "output": (
            Whole(_documents, (_COMPONENT[1],), moves=True), Whole(_replies, _ANSWERS, moves=True),
            *at(_COMPONENT[1], "haystack.agent.output", reader=_filled), *at(_LLM[1], "haystack.pipeline.output_data"),
            *at(_TOOL[1], reader=loosely),
        ),
        "model": (_said("model"),),
        "finish_reasons": (Whole(_reason, _ANSWERS),),
        "input_tokens": (_used("prompt_tokens"), _used("input_tokens")),
        "output_tokens": (_used("completion_tokens"), _used("output_tokens")),
        "cached_tokens": (_used("prompt_tokens_details", "cached_tokens"), _used("cache_read_input_tokens")),
        "cache_write_tokens": (_used("cache_creation_input_tokens"),),
        "reasoning_tokens": (_used("completion_tokens_details", "reasoning_tokens"),),
        "audio_input_tokens": (_used("prompt_tokens_details", "audio_tokens"),),
        "audio_output_tokens": (_used("completion_tokens_details", "audio_tokens"),),
        "first_token_ns": (Whole(_first_token, _ANSWERS),),
        "step": ("haystack.component.name",),
        "gen_ai.tool.name": ("haystack.tool.name",),
    },
)  # fmt: skip
