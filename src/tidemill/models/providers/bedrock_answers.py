"""Answers of Bedrock's Converse, whole and in frames, read as ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from tidemill.core.chat import ChatDelta, ChatResponse, Connection, FinishReason, ToolCallDelta, Usage
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Image, Message, Other, Part, Reasoning, Text, ToolCall
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import unit_object
from tidemill.models.providers.anthropic_answers import MessageReader
from tidemill.models.providers.aws_events import Frame, FrameReader
from tidemill.models.providers.bedrock_requests import NAME
from tidemill.models.reading import as_text, child, children, count, text
from tidemill.models.refusals import refusal

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "guardrail_intervened": "content_filter", "content_filtered": "content_filter",
    "malformed_model_output": "error", "malformed_tool_use": "error",
}  # fmt: skip
_STATUS: Final[Mapping[str, int]] = {
    "throttlingException": 429, "validationException": 400, "serviceUnavailableException": 503,
    "modelTimeoutException": 504, "internalServerException": 500, "modelStreamErrorException": 500,
}  # fmt: skip
_READ: Final = frozenset({"output", "usage", "metrics"})


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole answer. Raises `Unavailable` when it is none."""
    message = child(child(answer, "output"), "message")
    if not message:
        raise Unavailable("bedrock answered without a message", where=f"connection/{connection.name}", kind="server")
    parts = tuple(map(_part, children(message, "content")))
    rest: dict[str, Json] = {name: value for name, value in answer.items() if name not in _READ and value is not None}
    return ChatResponse(
        message=Message(role="assistant", parts=parts or (Text(text=""),)),
        finish_reason=_FINISH.get(text(answer, "stopReason"), "stop"),
        usage=read_usage(child(answer, "usage")),
        extra={NAME: rest} if rest else {},
    )


def _part(block: JsonObject) -> Part:
    if isinstance(said := block.get("text"), str):
        return Text(text=said)
    if call := child(block, "toolUse"):
        return ToolCall(id=text(call, "toolUseId"), name=text(call, "name"), arguments=as_text(call.get("input")))
    if thought := child(block, "reasoningContent"):
        said = child(thought, "reasoningText")
        if not said:
            return Reasoning(data=text(thought, "redactedContent"))
        return Reasoning(text=text(said, "text"), signature=text(said, "signature") or None)
    if picture := child(block, "image"):
        data = text(child(picture, "source"), "bytes")
        if data:
            return Image(media_type=f"image/{text(picture, 'format')}", data=data)
    return Other(dialect=NAME, value=block)


def read_usage(usage: JsonObject) -> Usage:
    """What was read from and written to the cache counts apart from the input there; here it is part of it."""
    cached, written = count(usage, "cacheReadInputTokens"), count(usage, "cacheWriteInputTokens")
    return Usage(
        input_tokens=count(usage, "inputTokens") + cached + written,
        output_tokens=count(usage, "outputTokens"),
        cached_tokens=cached,
        cache_write_tokens=written,
    )


class FrameFramer:
    """AWS's frames as the units of a stream."""

    def __init__(self) -> None:
        self._reader = FrameReader()

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that `piece` completes."""
        return self._reader.feed(piece)

    def end(self) -> list[Frame]:
        """None; raises `Unavailable` when the stream ended within one."""
        self._reader.end()
        return []


class ConverseReader:
    """Reads the frames of `ConverseStream`: `messageStop` has the reason of its end, `metadata` the usage."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        self._said: dict[str, Json] = {}
        self._calls: dict[int, int] = {}
        self._spoken: set[int] = set()

    def read(self, unit: Frame) -> Iterator[ChatDelta]:
        """The pieces of one frame."""
        raise_exception(unit, self._connection)
        event = unit_object(unit.payload, early=self._early())
        match unit.headers.get(":event-type"):
            case "contentBlockStart":
                yield from self._start(count(event, "contentBlockIndex"), child(event, "start"))
            case "contentBlockDelta":
                yield from self._delta(count(event, "contentBlockIndex"), child(event, "delta"))
            case "contentBlockStop":
                position = count(event, "contentBlockIndex")
                if position in self._calls and position not in self._spoken:
                    yield self._arguments(position, "{}")
            case "messageStop":
                self._finish = _FINISH.get(text(event, "stopReason"), "stop")
                self._said.update({name: value for name, value in event.items() if name != "p" and value is not None})
            case "metadata":
                self._usage = read_usage(child(event, "usage"))
                if trace := child(event, "trace"):
                    self._said["trace"] = trace
            case _:
                pass
        self.ended = self._finish is not None and self._usage is not None

    def _start(self, position: int, start: JsonObject) -> Iterator[ChatDelta]:
        if call := child(start, "toolUse"):
            index = self._calls.setdefault(position, len(self._calls))
            yield ChatDelta(tool_call=ToolCallDelta(index=index, id=text(call, "toolUseId"), name=text(call, "name")))

    def _delta(self, position: int, delta: JsonObject) -> Iterator[ChatDelta]:
        if isinstance(said := delta.get("text"), str):
            yield ChatDelta(text=said)
        elif "toolUse" in delta and position in self._calls:
            written = text(child(delta, "toolUse"), "input")
            if written:
                yield self._arguments(position, written)
        elif thought := child(delta, "reasoningContent"):
            if "redactedContent" in thought:
                yield ChatDelta(part=Reasoning(data=text(thought, "redactedContent")))
            else:
                yield ChatDelta(reasoning=text(thought, "text"), signature=text(thought, "signature") or None)
        elif delta:
            kept: dict[str, Json] = {name: value for name, value in delta.items() if name != "p"}
            yield ChatDelta(part=Other(dialect=NAME, value=kept))

    def _arguments(self, position: int, arguments: str) -> ChatDelta:
        self._spoken.add(position)
        return ChatDelta(tool_call=ToolCallDelta(index=self._calls[position], arguments=arguments))

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece. Raises `Unavailable` when the stream stopped before the model did."""
        if self._finish is None:
            raise self._early()
        yield ChatDelta(finish_reason=self._finish, usage=self._usage, extra={NAME: self._said} if self._said else None)

    def _early(self) -> Unavailable:
        return _early(self._connection)


class InvokeReader:
    """Reads the frames of `InvokeModelWithResponseStream` of Anthropic's models: each holds one of Anthropic's events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inner = MessageReader(connection)

    @property
    def ended(self) -> bool:
        """Whether the message has ended."""
        return self._inner.ended

    def read(self, unit: Frame) -> Iterator[ChatDelta]:
        """The pieces of one frame."""
        content = event_of(unit, self._connection)
        if content is not None:
            yield from self._inner.read(ServerEvent(data=content.decode("utf-8", "replace")))

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece."""
        return self._inner.ending()


def event_of(frame: Frame, connection: Connection) -> bytes | None:
    """The model's own JSON within a frame of a stream that was invoked; None for a frame of another kind."""
    raise_exception(frame, connection)
    if frame.headers.get(":event-type") != "chunk":
        return None
    try:
        return base64.b64decode(orjson.loads(frame.payload)["bytes"])
    except (orjson.JSONDecodeError, KeyError, TypeError, binascii.Error):
        raise _early(connection) from None


def raise_exception(frame: Frame, connection: Connection) -> None:
    """Raise the error that a frame is, if it is one."""
    kind = frame.headers.get(":message-type", "event")
    if kind == "event":
        return
    name = frame.headers.get(":exception-type") or frame.headers.get(":error-code") or ""
    said = frame.payload.decode("utf-8", "replace") or frame.headers.get(":error-message", name)
    raise _error(_STATUS.get(name, 500), said, connection)


def _error(status: int, said: str, connection: Connection) -> TidemillError:
    return refusal(status, said, provider="bedrock", connection=connection.name)


def _early(connection: Connection) -> Unavailable:
    return Unavailable("bedrock: the stream ended early", where=f"connection/{connection.name}", kind="connection")
