"""Messages between two processes of one server over a connected socket: asked and answered, or told.

A message is four bytes of length and a MessagePack array: what it is, the number of the question (negative: its answer; 0:
nothing is answered), and the body. The connection's end is the other process's end, however that came about.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

import msgspec

from tidemill.core.errors import TidemillError, Unavailable, error_from_code
from tidemill.models.limits.asked import Unwanted

Answer: TypeAlias = Callable[[str, bytes], bytes | Awaitable[bytes]]
"""From what is asked and its body to the answer, now or soon."""
_FAILED: Final = "failed"


class _Message(msgspec.Struct, array_like=True, gc=False):
    what: str
    number: int
    body: bytes


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """A `TidemillError` on its way to another process."""

    code: str
    message: str
    hint: str = ""
    where: str = ""

    @classmethod
    def of(cls, error: TidemillError) -> Failure:
        """The failure that an error is."""
        return cls(error.code, error.message, error.hint, error.where)

    def error(self) -> TidemillError:
        """The error again."""
        return error_from_code(self.code, self.message, hint=self.hint, where=self.where)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode
_decode_failure = msgspec.msgpack.Decoder(Failure).decode


class Link(asyncio.Protocol):
    """One end. `answer` is asked what the other end asks or tells; `on_lost` is called once, when the other end has gone."""

    def __init__(self, *, answer: Answer, on_lost: Callable[[], None]) -> None:
        self._answer = answer
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._unwanted: dict[int, Unwanted] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._last = 0
        self.is_lost = False

    @classmethod
    async def over(cls, connected: socket.socket, *, answer: Answer, on_lost: Callable[[], None]) -> Link:
        """Speak over a connected socket, which is the link's from then on."""
        connected.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(answer=answer, on_lost=on_lost), sock=connected)
        return link

    async def ask(self, what: str, body: bytes = b"", *, unwanted: Unwanted | None = None) -> bytes:
        """The other end's answer. Raises what it raised, and `Unavailable` when it has gone.

        `unwanted` gets the answer when whoever asked is cancelled before it came.
        """
        if self._transport is None or self.is_lost:
            raise _gone()
        self._last += 1
        number = self._last
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(what, number, body)
        try:
            return await answer
        except asyncio.CancelledError:
            if unwanted is not None:
                if answer.done() and not answer.cancelled() and answer.exception() is None:
                    unwanted(answer.result())
                elif number in self._waiting:
                    self._unwanted[number] = unwanted
            raise
        finally:
            self._waiting.pop(number, None)

    def tell(self, what: str, body: bytes = b"") -> None:
        """Send what needs no answer; nothing when the other end has gone."""
        if self._transport is not None and not self.is_lost:
            self._send(what, 0, body)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if end > len(buffer):
                break
            message = _decode(buffer[at + 4 : end])
            at = end
            self._take(message)
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (however it came about)
        """See `asyncio.Protocol`."""
        self.is_lost = True
        for each in self._waiting.values():
            if not each.done():
                each.set_exception(_gone())
        self._on_lost()

    def _take(self, message: _Message) -> None:
        if message.number < 0:
            self._answered(-message.number, message)
            return
        try:
            answer = self._answer(message.what, message.body)
        except TidemillError as error:
            self._send(_FAILED, -message.number, _encode(Failure.of(error)))
            return
        if isinstance(answer, bytes):
            if message.number:
                self._send("", -message.number, answer)
            return
        task = asyncio.ensure_future(self._answer_soon(message, answer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_soon(self, message: _Message, answer: Awaitable[bytes]) -> None:
        what, body = "", b""
        try:
            body = await answer
        except TidemillError as error:
            what, body = _FAILED, _encode(Failure.of(error))
        if message.number and not self.is_lost:
            self._send(what, -message.number, body)

    def _answered(self, number: int, message: _Message) -> None:
        waiting = self._waiting.get(number)
        if waiting is None or waiting.cancelled():
            unwanted = self._unwanted.pop(number, None)
            if unwanted is not None and message.what != _FAILED:
                unwanted(message.body)
        elif message.what == _FAILED:
            waiting.set_exception(_decode_failure(message.body).error())
        else:
            waiting.set_result(message.body)

    def _send(self, what: str, number: int, body: bytes) -> None:
        content = _encode(_Message(what, number, body))
        assert self._transport is not None
        self._transport.write(len(content).to_bytes(4, "big") + content)


def _gone() -> Unavailable:
    return Unavailable("the process that was asked has ended", hint="It is started again; try again soon.", retry_after=1.0)
