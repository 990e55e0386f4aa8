"""Answers of OpenAI's other doors, read beside the bytes that pass on: responses, and whatever else reports its usage.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

import orjson

from tidemill.core.chat import ChatDelta, ChatResponse, Connection, FinishReason, ToolCallDelta
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.models.events import ServerEvent
from tidemill.models.providers.openai_answers import read_error, read_usage
from tidemill.models.reading import child, children, count, text

_ENDS: Final[Mapping[str, FinishReason]] = {
    "response.completed": "stop",
    "response.incomplete": "length",
    "transcript.text.done": "stop",
    "image_generation.completed": "stop",
    "image_edit.completed": "stop",
    "speech.audio.done": "stop",
}


def read_response(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole answer of `/responses`. Raises the provider's own error when it failed."""
    if answer.get("error"):
        raise read_error(answer, connection)
    parts = [part for item in children(answer, "output") for part in _parts(item)]
    calls = any(isinstance(part, ToolCall) for part in parts)
    finish: FinishReason = "length" if text(answer, "status") == "incomplete" else "tool_calls" if calls else "stop"
    return ChatResponse(
        message=Message(role="assistant", parts=tuple(parts) or (Text(text=""),)),
        finish_reason=finish,
        usage=read_usage(child(answer, "usage")),
        model=text(answer, "model"),
    )


def read_used(answer: JsonObject, connection: Connection) -> ChatResponse:
    """What any other answer in JSON reports of itself: its model and its usage."""
    if answer.get("error"):
        raise read_error(answer, connection)
    usage = read_usage(child(answer, "usage"))
    return ChatResponse(message=Message(role="assistant"), usage=usage, model=text(answer, "model"))


def _parts(item: JsonObject) -> Iterator[Part]:
    kind = item.get("type")
    if kind == "message":
        for part in children(item, "content"):
            if part.get("type") == "output_text":
                yield Text(text=text(part, "text"))
            elif part.get("type") == "refusal":
                yield Refusal(text=text(part, "refusal"))
    elif kind == "reasoning":
        found = "".join(text(part, "text") for name in ("summary", "content") for part in children(item, name))
        if found:
            yield Reasoning(text=found)
    elif kind in {"function_call", "custom_tool_call"}:
        arguments = text(item, "arguments") or text(item, "input")
        yield ToolCall(id=text(item, "call_id"), name=text(item, "name"), arguments=arguments)


class TypedEvents:
    """Reads events that say their `type`, as those of `/responses` do."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._calls: dict[int, int] = {}

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """What one event says. Raises the provider's own error when it is one, and `Unavailable` for half an event."""
        if unit.data.strip() == "[DONE]":
            return
        try:
            event = cast("Json", orjson.loads(unit.data))
        except orjson.JSONDecodeError:
            raise self._early() from None
        if isinstance(event, Mapping):
            yield from self._event(event)

    def _event(self, event: JsonObject) -> Iterator[ChatDelta]:
        kind = text(event, "type")
        if kind == "error" or event.get("error"):
            raise read_error(event if event.get("error") else {"error": event}, self._connection)
        if kind == "response.failed":
            raise read_error(child(event, "response"), self._connection)
        delta = text(event, "delta")
        match kind:
            case "response.output_text.delta" | "transcript.text.delta":
                yield ChatDelta(text=delta)
            case "response.refusal.delta":
                yield ChatDelta(refusal=delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                yield ChatDelta(reasoning=delta)
            case "response.output_item.added":
                yield from self._item(event)
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                index = self._calls.setdefault(count(event, "output_index"), len(self._calls))
                yield ChatDelta(tool_call=ToolCallDelta(index=index, arguments=delta))
            case _ if kind in _ENDS:
                yield self._last(event, _ENDS[kind])
            case _:
                return

    def _item(self, event: JsonObject) -> Iterator[ChatDelta]:
        item = child(event, "item")
        if item.get("type") in {"function_call", "custom_tool_call"}:
            index = self._calls.setdefault(count(event, "output_index"), len(self._calls))
            yield ChatDelta(tool_call=ToolCallDelta(index=index, id=text(item, "call_id"), name=text(item, "name")))

    def _last(self, event: JsonObject, finish: FinishReason) -> ChatDelta:
        self.ended = True
        answer = child(event, "response") or event
        if finish == "stop" and self._calls:
            finish = "tool_calls"
        usage = read_usage(child(answer, "usage"))
        return ChatDelta(finish_reason=finish, usage=usage, model=text(answer, "model") or None)

    def ending(self) -> Iterator[ChatDelta]:
        """Nothing more. Raises `Unavailable` when the answer was not whole."""
        if not self.ended:
            raise self._early()
        return iter(())

    def _early(self) -> Unavailable:
        said = f"{self._connection.provider}: the stream ended early"
        return Unavailable(said, where=f"connection/{self._connection.name}", kind="connection")
