"""Google ADK: requests and answers as its models take them, in attributes of its own; from 2.0 on OpenTelemetry's too.

https://google.github.io/adk-docs/observability/
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.messages import read_messages
from tidemill.telemetry.dialects.values import Reader, always, anything, count, inside, is_list, is_object, text, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_REQUEST: Final = "gcp.vertex.agent.llm_request"
_RESPONSE: Final = "gcp.vertex.agent.llm_response"
_ARGUMENTS: Final = "gcp.vertex.agent.tool_call_args"
_RESULT: Final = "gcp.vertex.agent.tool_response"


def _contents(value: Json) -> Json:
    return read_messages(value) or None


def _tools(value: Json) -> Json:
    """The functions of all the request's tools."""
    found = unpacked(value)
    declared: list[Json] = []
    for each in found if is_list(found) else ():
        functions = each.get("function_declarations") if is_object(each) else None
        declared += functions if is_list(functions) else [each]
    return declared or None


def _answered(value: Json) -> Json:
    """The answer's content as a message, and why it ended."""
    found = unpacked(value)
    content = found.get("content") if is_object(found) else None
    if not is_object(found) or not is_object(content):
        return None
    reason = text(found.get("finish_reason"))
    return read_messages([{**content, **({"finish_reason": reason.lower()} if reason else {})}]) or None


def _used(*names: str) -> At:
    """Counts of the answer, added up."""

    def read(value: Json) -> int | None:
        given = unpacked(value)
        counts = [found for each in names if is_object(given) and (found := count(given.get(each))) is not None]
        return sum(counts) if counts else None

    return At(_RESPONSE, inside("usage_metadata", reader=read))


def _filled(value: Json) -> Json:
    """An empty object stands for what was not captured."""
    found = anything(value)
    return None if found in ({}, "<not serializable>", "N/A") else found


def _given(*path: str, reader: Reader) -> At:
    return At(_REQUEST, inside(*path, reader=reader))


def _calls_model(value: Json) -> str | None:
    return None if _filled(value) is None else "llm"


def _instruction(span: RawSpan) -> Json:
    """The system's words, which OpenInference's instrumentation puts among the messages."""
    if any(key.startswith("llm.input_messages") for key in span.attributes):
        return None
    return inside("config", "system_instruction", reader=anything)(span.attributes.get(_REQUEST)) or None


def _invocation(span: RawSpan) -> str | None:
    return "chain" if span.name.startswith("invocation") else None


DIALECT: Final = Dialect(
    name="google_adk",
    scopes=("gcp.vertex.agent", "google.adk"),
    keys=("gcp.vertex.agent.",),
    rank=65,
    fields={
        "implied_kind": (Whole(_invocation), At(_ARGUMENTS, always("tool")), At(_REQUEST, _calls_model)),
        "messages": (_given("contents", reader=_contents),),
        "system": (Whole(_instruction, (_REQUEST,)),),
        "tools": (_given("config", "tools", reader=_tools),),
        "parameters": (_given("config", reader=anything),),
        "output_messages": (At(_RESPONSE, _answered),),
        "input": at(_ARGUMENTS, "gcp.vertex.agent.data", reader=_filled),
        "output": at(_RESULT, reader=_filled),
        "model": ("gen_ai.request.model", _given("model", reader=text), At(_RESPONSE, inside("model_version", reader=text))),
        "input_tokens": ("gen_ai.usage.input_tokens", _used("prompt_token_count")),
        "output_tokens": (_used("candidates_token_count", "thoughts_token_count"),),
        "cached_tokens": (_used("cached_content_token_count"),),
        "reasoning_tokens": (_used("thoughts_token_count"),),
        "session": ("gcp.vertex.agent.session_id", "gen_ai.conversation.id"),
        "tidemill.handoff.to": (handed_to(_ARGUMENTS, "gen_ai.tool.call.arguments"),),
    },
)  # fmt: skip
