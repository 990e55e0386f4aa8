"""Pydantic AI and Logfire: OpenTelemetry's conventions, with a whole run's messages on one span, and events as an attribute.

https://ai.pydantic.dev/logfire/
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.messages import Message, read_messages
from tidemill.telemetry.dialects.values import always, count, is_list, is_object, loosely, one_of, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_RUN: Final = ("pydantic_ai.all_messages", "all_messages_events")
_NEW: Final = "pydantic_ai.new_message_index"
_OPERATIONS: Final = {"chat": "llm", "invoke_agent": "agent", "execute_tool": "tool", "embeddings": "embedding"}


def _run(span: RawSpan, key: str) -> tuple[list[Message], list[Message]] | None:
    """A run's messages: what it was given, and what it came to, from the first new message of the model on."""
    messages = read_messages(span.attributes.get(key))
    if not messages:
        return None
    fresh = count(span.attributes.get(_NEW)) or 0
    split = next((n for n, each in enumerate(messages) if n >= fresh and each["role"] == "assistant"), len(messages))
    return messages[:split], messages[split:]


def _given(key: str) -> Whole:
    def read(span: RawSpan) -> Json:
        found = _run(span, key)
        return found[0] if found else None

    return Whole(read, (key,), moves=True)


def _came_to(key: str) -> Whole:
    def read(span: RawSpan) -> Json:
        found = _run(span, key)
        return found[1] or None if found else None

    return Whole(read, (key,), moves=True)


def _is_choice(event: Json) -> bool:
    return is_object(event) and event.get("event.name") == "gen_ai.choice"


def _asked(span: RawSpan) -> Json:
    """Of the events of a call of a model, all but its choices."""
    found = unpacked(span.attributes.get("events"))
    if not is_list(found) or not all(is_object(each) and "event.name" in each for each in found):
        return None
    return read_messages([each for each in found if not _is_choice(each)]) if read_messages(found) is not None else None


def _answered(span: RawSpan) -> Json:
    found = unpacked(span.attributes.get("events"))
    return read_messages([each for each in found if _is_choice(each)]) or None if is_list(found) else None


def _tools(value: Json) -> Json:
    """The tools that a request names."""
    found = unpacked(value)
    tools = found.get("function_tools") if is_object(found) else None
    return tools if is_list(tools) and tools else None


def _request(value: Json) -> Json:
    """What Logfire says of a request, where it is more than the model's name."""
    found = unpacked(value)
    return found if is_object(found) and any(each in found for each in ("messages", "prompt", "input")) else None


DIALECT: Final = Dialect(
    name="pydantic_ai",
    scopes=("pydantic-ai", "pydantic_ai", "logfire"),
    keys=("pydantic_ai.", "all_messages_events", "logfire.", "model_request_parameters"),
    rank=35,
    fields={
        "kind": (At("gen_ai.operation.name", one_of(_OPERATIONS)),),
        "implied_kind": (
            *(At(key, always("agent")) for key in (*_RUN, "agent_name")),
            At("tool_arguments", always("tool")),
            At("tool_response", always("tool")),
            At("tools", always("chain")),
        ),
        "messages": (*(_given(key) for key in _RUN), Whole(_asked, ("events",), moves=True)),
        "output_messages": (*(_came_to(key) for key in _RUN), Whole(_answered, ("events",), moves=True)),
        "tools": (At("model_request_parameters", _tools),),
        "input": (*at("tool_arguments", reader=loosely), *at("request_data", reader=_request)),
        "output": at("tool_response", "response_data", "final_result", reader=loosely),
        "model": ("gen_ai.request.model", "model_name"),
        "cost": ("operation.cost",),
        "tags": ("logfire.tags",),
        "gen_ai.agent.name": ("agent_name",),
    },
)  # fmt: skip
