"""Reading an answer beside the bytes that pass on: what it said and used, without a byte of it being changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import orjson

from tidemill.core.chat import ChatDelta, ChatResponse, Connection
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.models.assemble import Assembly
from tidemill.models.believable import believed
from tidemill.models.refusals import shortened

if TYPE_CHECKING:
    from tidemill.models.http_chat import Streaming

_NOTHING: Final = ChatResponse(message=Message(role="assistant"))


class BesideStream:
    """An `AnswerReader` of a stream, by whatever reads that stream into deltas."""

    def __init__(self, streaming: Streaming) -> None:
        self.began = False
        self.ended = False
        self.error: TidemillError | None = None
        self._streaming = streaming
        self._assembly = Assembly()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self.error is not None:
            return
        try:
            for delta in self._streaming.feed(piece):
                self._add(delta)
        except TidemillError as error:
            self.error = error
        if self._streaming.ended and not self.ended:
            self.end()

    def end(self) -> None:
        """The last byte has come."""
        if self.error is not None:
            return
        try:
            for delta in self._streaming.end():
                self._add(delta)
            self.ended = True
        except TidemillError as error:
            self.error = error

    def response(self) -> ChatResponse:
        """The answer so far."""
        return self._assembly.response()

    def _add(self, delta: ChatDelta) -> None:
        self._assembly.add(delta)
        if not self.began:
            self.began = begins(delta)


class BesideWhole:
    """An `AnswerReader` of a whole answer in JSON. `read` raises the provider's own error when it holds one."""

    def __init__(self, read: Callable[[JsonObject], ChatResponse], connection: Connection) -> None:
        self.began = False
        self.ended = False
        self.error: TidemillError | None = None
        self._read = read
        self._connection = connection
        self._pieces: list[bytes] = []
        self._response = _NOTHING

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(piece)

    def end(self) -> None:
        """The last byte has come."""
        content = b"".join(self._pieces)
        try:
            self._response = believed(self._read(self._object(content)))
            self.began = self.ended = True
        except TidemillError as error:
            self.error = error

    def response(self) -> ChatResponse:
        """The answer, once it is whole."""
        return self._response

    def _object(self, content: bytes) -> JsonObject:
        try:
            value = cast("Json", orjson.loads(content))
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, Mapping):
            return value
        connection = self._connection
        text = content[:4096].decode("utf-8", "replace")
        html = text.lstrip()[:9].lower().startswith(("<!doctype", "<html"))
        said = shortened(text, html=html) or "nothing"
        where = f"connection/{connection.name}"
        raise Unavailable(
            f"{connection.provider} answered with {said}" + ("" if html else " where a JSON object was expected"),
            where=where,
            hint=f"Check base_url of {where}: it may not be an API.",
            kind="server",
        )


class BesideBytes:
    """An `AnswerReader` of what is no JSON, such as sound: only that it came."""

    def __init__(self) -> None:
        self.began = False
        self.ended = False
        self.error: TidemillError | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.began = self.began or bool(piece)

    def end(self) -> None:
        """The last byte has come."""
        self.ended = True

    def response(self) -> ChatResponse:
        """Nothing is known of it."""
        return _NOTHING


def begins(delta: ChatDelta) -> bool:
    """Whether a piece is something of the answer, and not only its frame."""
    return bool(
        delta.text
        or delta.tool_call
        or delta.finish_reason
        or delta.reasoning
        or delta.refusal
        or delta.signature
        or delta.audio
        or delta.part
    )
