"""Answers in Anthropic's words, read as ours. Thinking, and the steps of tools that ran at the provider, are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import orjson

from tidemill.core.chat import ChatDelta, ChatResponse, Connection, FinishReason, ToolCallDelta, Usage
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Text, ToolCall
from tidemill.models.reading import as_text, child, children, count, text
from tidemill.models.refusals import refusal

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "refusal": "content_filter", "pause_turn": "stop",
}  # fmt: skip
_STATUS: Mapping[str, int] = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "overloaded_error": 529,
}  # fmt: skip


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole message. Raises the provider's own error when it holds one, and `Unavailable` when it is no message."""
    if answer.get("type") == "error":
        raise _error(answer, connection)
    if "content" not in answer:
        raise Unavailable("anthropic answered without any content", where=f"connection/{connection.name}")
    blocks = children(answer, "content")
    said = "".join(text(each, "text") for each in blocks if each.get("type") == "text")
    calls = [
        ToolCall(id=text(each, "id"), name=text(each, "name"), arguments=as_text(each.get("input")))
        for each in blocks
        if each.get("type") == "tool_use"
    ]
    parts: list[Part] = [Text(text=said)] if said or not calls else []
    return ChatResponse(
        message=Message(role="assistant", parts=(*parts, *calls)),
        finish_reason=_FINISH.get(text(answer, "stop_reason"), "stop"),
        usage=_usage(child(answer, "usage")),
        model=text(answer, "model"),
    )


class StreamReader:
    """Reads the events of a message. What belongs at the end is kept back until `ending`."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason | None = None
        self._usage: dict[str, Json] = {}
        self._calls: dict[int, int] = {}
        self._spoken: set[int] = set()

    def read(self, data: str) -> Iterator[ChatDelta]:
        """The pieces of one event. Raises `Unavailable` for half an event, and the provider's own error when it is one."""
        try:
            event = cast("Json", orjson.loads(data))
        except orjson.JSONDecodeError:
            raise self._early() from None
        if not isinstance(event, Mapping):
            return
        kind = text(event, "type")
        if kind == "error":
            raise _error(event, self._connection)
        if kind == "message_start":
            message = child(event, "message")
            self._usage.update(child(message, "usage"))
            yield ChatDelta(model=text(message, "model") or None)
        elif kind == "message_delta":
            self._usage.update({name: value for name, value in child(event, "usage").items() if value is not None})
            self._finish = _FINISH.get(text(child(event, "delta"), "stop_reason"), "stop")
        elif kind == "message_stop":
            self.ended = True
        else:
            yield from self._block(kind, event)

    def _block(self, kind: str, event: JsonObject) -> Iterator[ChatDelta]:
        position = count(event, "index")
        if kind == "content_block_start":
            block = child(event, "content_block")
            if block.get("type") == "tool_use":
                index = self._calls.setdefault(position, len(self._calls))
                yield ChatDelta(tool_call=ToolCallDelta(index=index, id=text(block, "id"), name=text(block, "name")))
                if block.get("input"):
                    yield self._arguments(position, as_text(block.get("input")))
            elif block.get("type") == "text" and block.get("text"):
                yield ChatDelta(text=text(block, "text"))
        elif kind == "content_block_delta":
            delta = child(event, "delta")
            if delta.get("type") == "text_delta":
                yield ChatDelta(text=text(delta, "text"))
            elif delta.get("type") == "input_json_delta" and position in self._calls and delta.get("partial_json"):
                yield self._arguments(position, text(delta, "partial_json"))
        elif kind == "content_block_stop" and position in self._calls and position not in self._spoken:
            yield self._arguments(position, "{}")

    def _arguments(self, position: int, arguments: str) -> ChatDelta:
        self._spoken.add(position)
        return ChatDelta(tool_call=ToolCallDelta(index=self._calls[position], arguments=arguments))

    def ending(self) -> ChatDelta:
        """The last piece. Raises `Unavailable` when the stream stopped before the message did."""
        if not self.ended or self._finish is None:
            raise self._early()
        return ChatDelta(finish_reason=self._finish, usage=_usage(self._usage))

    def _early(self) -> Unavailable:
        return Unavailable("anthropic: the stream ended early", where=f"connection/{self._connection.name}")


def _usage(usage: JsonObject) -> Usage:
    """Anthropic counts what it read from and wrote to its cache apart from the input; here it is part of it."""
    cached = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=count(usage, "input_tokens") + cached + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=cached,
    )


def _error(answer: JsonObject, connection: Connection) -> TidemillError:
    status = _STATUS.get(text(child(answer, "error"), "type"), 500)
    return refusal(status, as_text(answer), provider="anthropic", connection=connection.name)
