"""Answers in Anthropic's words, read as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidemill.core.chat import ChatDelta, ChatResponse, Connection, FinishReason, ToolCallDelta, Usage
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Text
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import unit_object
from tidemill.models.providers.anthropic_blocks import NAME, part_of
from tidemill.models.reading import as_text, child, children, count, text
from tidemill.models.refusals import refusal

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "refusal": "content_filter", "pause_turn": "stop", "compaction": "stop",
}  # fmt: skip
_STATUS: Final[Mapping[str, int]] = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip
_READ: Final = frozenset({"id", "type", "role", "model", "content", "usage"})


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole message. Raises the provider's own error when it holds one, and `Unavailable` when it is no message."""
    if answer.get("type") == "error":
        raise read_error(answer, connection)
    if "content" not in answer:
        raise Unavailable("anthropic answered without any content", where=f"connection/{connection.name}", kind="server")
    parts: list[Part] = []
    for part in map(part_of, children(answer, "content")):
        if isinstance(part, Text) and parts and isinstance(parts[-1], Text) and not part.extra and not parts[-1].extra:
            parts[-1] = Text(text=parts[-1].text + part.text)
        else:
            parts.append(part)
    return ChatResponse(
        message=Message(role="assistant", parts=tuple(parts) or (Text(text=""),)),
        finish_reason=_FINISH.get(text(answer, "stop_reason"), "stop"),
        usage=read_usage(child(answer, "usage")),
        model=text(answer, "model"),
        extra=_said({name: value for name, value in answer.items() if name not in _READ}),
    )


class MessageReader:
    """Reads the events of a message. What belongs at the end is kept back until `ending`."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason | None = None
        self._usage: dict[str, Json] = {}
        self._said: dict[str, Json] = {}
        self._calls: dict[int, int] = {}
        self._spoken: set[int] = set()
        self._others: dict[int, dict[str, Json]] = {}

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """The pieces of one event. Raises `Unavailable` for half an event, and the provider's own error when it is one."""
        event = unit_object(unit.data, early=self._early())
        kind = text(event, "type")
        if kind == "error":
            raise read_error(event, self._connection)
        if kind == "message_start":
            message = child(event, "message")
            self._usage.update(child(message, "usage"))
            yield ChatDelta(model=text(message, "model") or None)
        elif kind == "message_delta":
            self._usage.update({name: value for name, value in child(event, "usage").items() if value is not None})
            delta = child(event, "delta")
            self._finish = _FINISH.get(text(delta, "stop_reason"), "stop")
            self._said.update({name: value for name, value in delta.items() if value is not None})
        elif kind == "message_stop":
            self.ended = True
        elif kind == "content_block_start":
            yield from self._start(count(event, "index"), child(event, "content_block"))
        elif kind == "content_block_delta":
            yield from self._delta(count(event, "index"), child(event, "delta"))
        elif kind == "content_block_stop":
            yield from self._stop(count(event, "index"))

    def _start(self, position: int, block: JsonObject) -> Iterator[ChatDelta]:
        match block.get("type"):
            case "tool_use":
                index = self._calls.setdefault(position, len(self._calls))
                yield ChatDelta(tool_call=ToolCallDelta(index=index, id=text(block, "id"), name=text(block, "name")))
                if block.get("input"):
                    yield self._arguments(position, as_text(block.get("input")))
            case "text":
                if said := text(block, "text"):
                    yield ChatDelta(text=said)
            case "thinking":
                if thought := text(block, "thinking"):
                    yield ChatDelta(reasoning=thought)
                if seal := text(block, "signature"):
                    yield ChatDelta(signature=seal)
            case _:
                self._others[position] = dict(block)

    def _delta(self, position: int, delta: JsonObject) -> Iterator[ChatDelta]:
        match delta.get("type"):
            case "text_delta":
                yield ChatDelta(text=text(delta, "text"))
            case "thinking_delta":
                yield ChatDelta(reasoning=text(delta, "thinking"))
            case "signature_delta":
                yield ChatDelta(signature=text(delta, "signature"))
            case "input_json_delta" if position in self._calls:
                if said := text(delta, "partial_json"):
                    yield self._arguments(position, said)
            case "citations_delta":
                cited = [*_list(self._said.get("citations")), delta.get("citation")]
                self._said["citations"] = cited
            case _:
                self._grow(position, delta)

    def _grow(self, position: int, delta: JsonObject) -> None:
        """Add to a block of another kind: text grows, and what is written in pieces of JSON is kept until the block's end."""
        block = self._others.get(position)
        if block is None:
            return
        for name, value in delta.items():
            if name == "type":
                continue
            before = block.get(name)
            block[name] = before + value if isinstance(before, str) and isinstance(value, str) else value

    def _stop(self, position: int) -> Iterator[ChatDelta]:
        if position in self._calls and position not in self._spoken:
            yield self._arguments(position, "{}")
        block = self._others.pop(position, None)
        if block is not None:
            written = block.pop("partial_json", None)
            if isinstance(written, str) and written:
                block["input"] = unit_object(written, early=self._early())
            yield ChatDelta(part=part_of(block))

    def _arguments(self, position: int, arguments: str) -> ChatDelta:
        self._spoken.add(position)
        return ChatDelta(tool_call=ToolCallDelta(index=self._calls[position], arguments=arguments))

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece. Raises `Unavailable` when the stream stopped before the message did."""
        if not self.ended or self._finish is None:
            raise self._early()
        extra = _said(self._said)
        yield ChatDelta(finish_reason=self._finish, usage=read_usage(self._usage), extra=extra or None)

    def _early(self) -> Unavailable:
        where = f"connection/{self._connection.name}"
        return Unavailable("anthropic: the stream ended early", where=where, kind="connection")


def _list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else []


def _said(fields: JsonObject) -> JsonObject:
    """What else a message says: the exact reason why it stopped, the container, what was cut from the context."""
    rest: dict[str, Json] = {name: value for name, value in fields.items() if value is not None}
    return {NAME: rest} if rest else {}


def read_usage(usage: JsonObject) -> Usage:
    """Anthropic counts what it read from and wrote to its cache apart from the input; here it is part of it."""
    cached = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=count(usage, "input_tokens") + cached + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=count(child(usage, "output_tokens_details"), "thinking_tokens"),
    )


def read_error(answer: JsonObject, connection: Connection) -> TidemillError:
    """The error in a body or an event that came with a status of 200."""
    status = _STATUS.get(text(child(answer, "error"), "type"), 500)
    return refusal(status, as_text(answer), provider="anthropic", connection=connection.name)
