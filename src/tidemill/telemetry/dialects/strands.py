"""Strands Agents: OpenTelemetry's events a message, whose contents are blocks as Bedrock writes them.

https://strandsagents.com/latest/user-guide/observability-evaluation/traces/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Happened, at
from tidemill.telemetry.dialects.events import ANSWERED, ASKED
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.messages import read_messages
from tidemill.telemetry.dialects.values import always, anything, is_list, is_object, milliseconds, text, unpacked
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan

_BLOCKS: Final = {"toolUse": "tool_use", "toolResult": "tool_result", "reasoningContent": "reasoning"}


def _block(value: Json) -> Json:
    """A block as Anthropic writes it, which is read elsewhere."""
    name = next((each for each in _BLOCKS if is_object(value) and each in value), None)
    inner = value[name] if name is not None and is_object(value) else None
    if not is_object(inner):
        return {"type": "text", **value} if is_object(value) and "text" in value else value
    if name == "toolUse":
        return {"type": "tool_use", "id": inner.get("toolUseId"), "name": inner.get("name"), "input": inner.get("input")}
    if name == "toolResult":
        content = inner.get("content")
        blocks = [_block(each) for each in content] if is_list(content) else content
        failed = {"is_error": True} if inner.get("status") == "error" else {}
        return {"type": "tool_result", "tool_use_id": inner.get("toolUseId"), "content": blocks, **failed}
    said = inner.get("reasoningText")
    return {"type": "thinking", "thinking": said.get("text") if is_object(said) else inner.get("text")}


def _message(event: RawEvent) -> Json:
    role = "assistant" if event.name == "gen_ai.choice" else event.name.split(".")[1]
    content = unpacked(event.attributes.get("message" if event.name == "gen_ai.choice" else "content"))
    blocks = [_block(each) for each in content] if is_list(content) else content
    rest = {key: each for key, each in event.attributes.items() if key not in ("role", "content", "message")}
    return {"role": role, "content": blocks, **rest}


def _said(events: Sequence[RawEvent], span: RawSpan) -> Json:
    if span.attributes.get("gen_ai.operation.name") == "execute_tool":
        return None
    return read_messages([_message(each) for each in events]) or None


def _arguments(events: Sequence[RawEvent], span: RawSpan) -> Json:
    if span.attributes.get("gen_ai.operation.name") != "execute_tool":
        return None
    return anything(events[-1].attributes.get("content"))


def _result(events: Sequence[RawEvent], span: RawSpan) -> Json:
    """What a tool answered: its one text, or its blocks."""
    if span.attributes.get("gen_ai.operation.name") != "execute_tool":
        return None
    found = unpacked(events[-1].attributes.get("message"))
    if is_list(found) and len(found) == 1 and is_object(only := found[0]):
        return only.get("json", anything(only.get("text"))) if set(only) <= {"text", "json"} else found
    return found


def _failed(span_status: Json) -> str | None:
    return "the tool answered with an error" if text(span_status) == "error" else None


DIALECT: Final = Dialect(
    name="strands",
    scopes=("strands",),
    keys=("event_loop.",),
    rank=40,
    fields={
        "implied_kind": (At("event_loop.cycle_id", always("chain")),),
        "messages": (Happened(ASKED, _said, moves=True),),
        "output_messages": (Happened(ANSWERED, _said, moves=True),),
        "system": at("system_prompt"),
        "input": (Happened(frozenset({"gen_ai.tool.message"}), _arguments, moves=True),),
        "output": (Happened(frozenset({"gen_ai.choice"}), _result, moves=True),),
        "first_token_ns": (At("gen_ai.server.time_to_first_token", milliseconds),),
        "tags": ("tag.tags", "langfuse.tags"),
        "error": (At("tool.status", _failed),),
        "tidemill.handoff.to": (handed_to("gen_ai.tool.call.arguments"),),
    },
)
