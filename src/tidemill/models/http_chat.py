"""What providers over HTTP share. One says how to authorise, how to map a request, how to read an answer; the rest is here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import orjson

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.models.events import EventReader, ServerEvent
from tidemill.models.wire import Wire

U = TypeVar("U")
U_contra = TypeVar("U_contra", contravariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request as it goes out. `secret` is struck out of whatever error comes back."""

    url: str
    content: bytes
    headers: Mapping[str, str]
    secret: str | None = None


class Framer(Protocol[U]):
    """Cuts bytes, which come in pieces of any size, into the units of a stream: events, lines, frames."""

    def feed(self, piece: bytes) -> list[U]:
        """The units that `piece` completes."""
        ...

    def end(self) -> list[U]:
        """What the end of the stream completes. Raises `Unavailable` when it cut one off."""
        ...


class UnitReader(Protocol[U_contra]):
    """Reads one streamed answer, a unit at a time."""

    @property
    def ended(self) -> bool:
        """Whether all has come, so that what comes after is not read any more."""
        ...

    def read(self, unit: U_contra) -> Iterator[ChatDelta]:
        """What one unit says. Raises the provider's own error when it is one, and `Unavailable` for half a unit."""
        ...

    def ending(self) -> Iterator[ChatDelta]:
        """The last pieces, with the finish reason and the usage. Raises `Unavailable` when the answer was not whole."""
        ...


class StreamedAnswer(Generic[U]):
    """A streamed answer, from bytes to deltas, with no I/O: what is fed may be cut anywhere."""

    def __init__(self, framer: Framer[U], reader: UnitReader[U]) -> None:
        self._framer = framer
        self._reader = reader

    @property
    def ended(self) -> bool:
        """Whether all has come."""
        return self._reader.ended

    def feed(self, piece: bytes) -> Iterator[ChatDelta]:
        """The deltas that `piece` completes."""
        for unit in self._framer.feed(piece):
            if self._reader.ended:
                return
            yield from self._reader.read(unit)

    def end(self) -> Iterator[ChatDelta]:
        """The deltas that the end completes. Raises `Unavailable` when the answer was not whole."""
        if not self._reader.ended:
            for unit in self._framer.end():
                if not self._reader.ended:
                    yield from self._reader.read(unit)
        yield from self._reader.ending()


class Streaming(Protocol):
    """A `StreamedAnswer` of whatever units."""

    @property
    def ended(self) -> bool:
        """Whether all has come."""
        ...

    def feed(self, piece: bytes) -> Iterator[ChatDelta]:
        """The deltas that `piece` completes."""
        ...

    def end(self) -> Iterator[ChatDelta]:
        """The deltas that the end completes. Raises `Unavailable` when the answer was not whole."""
        ...


class EventFramer:
    """Server-sent events."""

    def __init__(self) -> None:
        self._reader = EventReader()

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that `piece` completes."""
        return self._reader.feed(piece)

    def end(self) -> list[ServerEvent]:
        """An event whose last blank line is missing."""
        last = self._reader.end()
        return [] if last is None else [last]


class LineFramer:
    """JSON, one value a line."""

    _LARGEST = 16 * 1024 * 1024

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` completes. Raises `Unavailable` for one of more than 16 MiB."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > self._LARGEST:
            raise Unavailable("the stream sent more than 16 MiB without the end of a line", kind="server")
        return [line for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        """A last line that has no end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest.strip() else []


class HttpChat(ABC):
    """A chat provider over HTTP. A subclass says `name` and the three things below; it is registered as any provider."""

    name: str

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    @abstractmethod
    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in the provider's words, addressed and authorised."""

    @abstractmethod
    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer. Raises the provider's own error when it holds one, and `Unavailable` when it is no answer."""

    @abstractmethod
    def streamed(self, connection: Connection, model: str) -> Streaming:
        """What reads one streamed answer of a model."""

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        asked = await self.ask(request, connection, stream=False)
        answer = await self._wire.ask(
            asked.url, asked.content, headers=asked.headers, connection=connection, secret=asked.secret
        )
        return self.read_answer(answer, connection)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive, and more at the end with the finish reason and the usage."""
        asked = await self.ask(request, connection, stream=True)
        streamed = self.streamed(connection, request.model)
        source = self._wire.pieces(asked.url, asked.content, headers=asked.headers, connection=connection, secret=asked.secret)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                for delta in streamed.feed(piece):
                    yield delta
                if streamed.ended:
                    break
        for delta in streamed.end():
            yield delta

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def as_json(body: JsonObject) -> bytes:
    """A body as it goes out. Raises `Invalid` for what JSON cannot say."""
    try:
        return orjson.dumps(body)
    except (TypeError, ValueError) as error:
        raise Invalid(f"the request cannot be written as JSON: {error}") from error


def unit_object(unit: str | bytes, *, early: Unavailable) -> JsonObject:
    """A unit of a stream as an object; nothing for other JSON. Raises `early` for half of one."""
    try:
        value = cast("Json", orjson.loads(unit))
    except orjson.JSONDecodeError:
        raise early from None
    return value if isinstance(value, Mapping) else {}
