"""HTTP/1.1 as a client, as much of it as providers need: connections that are kept, and answers as they come.

Connections are opened by aiohttp's connector: its resolver, its TLS, its way through the addresses of a name, and our guard.
What goes over them is here, because the rest of that client takes longer than all else of a call.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Final, cast

import aiohttp
import httptools
from yarl import URL

from tidemill.models.http1_request import written

if TYPE_CHECKING:
    from aiohttp.connector import Connection as Opened

_KEPT: Final = 15.0  # seconds that a connection may wait for another request
_GRACE: Final = 0.02  # seconds
_LARGEST_HEAD: Final = 256 * 1024
_MOST_WAITING: Final = 256 * 1024  # bytes that wait to be read, from which on no more are taken
_MOST_UNPACKED: Final = 16 * 1024 * 1024  # bytes that what came at once may unpack to
LARGEST: Final = 128 * 1024 * 1024
"""Bytes of one answer, unpacked: beyond what a model can have to say."""
LONGEST: Final = 1800.0
"""Seconds that one answer may take as long as something comes, unless a silence may be longer."""
_GZIP: Final = frozenset({"gzip", "x-gzip"})
_PLAIN: Final = frozenset({"", "identity"})
_Place = tuple[str, str | None, int | None]


class Lines:
    """Connections to any number of servers. Belongs to one event loop; `close` it there.

    No answer is longer than `largest` bytes, or takes more than `longest` seconds.
    """

    def __init__(self, connector: aiohttp.TCPConnector, *, largest: int = LARGEST, longest: float = LONGEST) -> None:
        self.connector = connector
        self.largest = largest
        self.longest = longest
        self._idle: dict[_Place, list[_Line]] = {}
        self._all: set[_Line] = set()

    async def ask(self, method: str, url: URL, body: bytes | None, *, headers: Mapping[str, str], timeout: float) -> Reply:
        """Send a request and wait for the head of its answer.

        `timeout` is in seconds, for connecting and for each silence. A connection that was kept and turns out to be closed is
        replaced by a new one. Raises `TimeoutError`, `aiohttp.ClientError` and `OSError`.
        """
        content = written(method, url, body, headers)
        place = (url.scheme, url.raw_host, url.port)
        kept = self._kept(place)
        if kept is not None:
            try:
                return await kept.ask(content, url, timeout)
            except aiohttp.ServerDisconnectedError:
                pass  # nothing of an answer came: it was closed while nobody asked
        line = await self._open(place, method, url, timeout)
        return await line.ask(content, url, timeout)

    async def close(self) -> None:
        """Close every connection."""
        for line in tuple(self._all):
            line.close()
        await self.connector.close()

    def _kept(self, place: _Place) -> _Line | None:
        idle = self._idle.get(place)
        while idle:
            line = idle.pop()
            if line.is_open:
                return line
        return None

    async def _open(self, place: _Place, method: str, url: URL, timeout: float) -> _Line:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout)
        async with asyncio.timeout(timeout):  # the look-up of the name is within it as well
            opened = await self.connector.connect(aiohttp.ClientRequest(method, url), [], limits)
        line = _Line(self, place, opened)
        self._all.add(line)
        return line

    def take_back(self, line: _Line) -> None:
        """Keep a connection for another request."""
        self._idle.setdefault(line.place, []).append(line)

    def forget(self, line: _Line) -> None:
        """A connection is gone."""
        self._all.discard(line)
        idle = self._idle.get(line.place)
        if idle and line in idle:
            idle.remove(line)


class _Line(asyncio.Protocol):
    """One connection, over which one request goes at a time."""

    def __init__(self, lines: Lines, place: _Place, opened: Opened) -> None:
        self.place = place
        self.is_open = True
        self.loop = asyncio.get_running_loop()
        self.lines = lines
        self._opened = opened
        self._handler = opened.protocol
        self._transport = cast("asyncio.Transport", opened.transport)
        self._reply: Reply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._is_late = False
        self._transport.set_protocol(self)

    async def ask(self, content: bytes, url: URL, timeout: float) -> Reply:
        """Send a request and wait for the head of its answer."""
        if not self.is_open or self._transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        reply = self._reply = Reply(self, url, timeout)
        try:
            self._transport.write(content)
            await reply.begun()
        except BaseException:
            self.close()
            raise
        return reply

    def data_received(self, data: bytes) -> None:
        """Take bytes of an answer; what nobody asked for ends the connection."""
        if self._reply is None:
            self.close()
        else:
            self._reply.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; an answer whose length nobody said is whole by that."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.lines.forget(self)
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.cut_off(exc)
        if self._handler is not None:
            self._handler.connection_lost(exc)
            self._handler = None
        self._opened.close()

    def close(self) -> None:
        """Close it, whatever is under way."""
        self.is_open = False
        self._transport.abort()

    def pause(self) -> None:
        """Take no more for now."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Take more."""
        self._transport.resume_reading()

    def done(self, *, is_kept: bool) -> None:
        """An answer was read to its end."""
        self._reply = None
        if not is_kept or not self.is_open or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self.close()
            return
        self.watch(_KEPT)
        self.lines.take_back(self)

    def watch(self, seconds: float) -> None:
        """Look after so many seconds whether something came. A look that is due before is left as it is."""
        due = self.loop.time() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._reply is None:
            self.close()  # nobody has asked anything for long
            return
        left = self._reply.left()
        if left is None or left > 0:
            self._is_late = False
            self.watch(self._reply.timeout if left is None else left)
        elif not self._is_late:  # this process may have been busy: what lies in the socket is read before it is given up
            self._is_late = True
            self.watch(_GRACE)
        else:
            self._reply.fail(TimeoutError())
            self.close()


class Reply:
    """An answer. `headers` have names in lower case. Iterate `pieces` to the end, and `let_go` in any case."""

    __slots__ = (
        "_arrived", "_ends", "_error", "_has_body", "_has_head", "_has_length", "_inflate", "_is_kept", "_is_whole", "_left",
        "_line", "_loop", "_parser", "_paused", "_pieces", "_since", "_size", "_waiter", "headers", "status", "timeout", "url",
    )  # fmt: skip

    def __init__(self, line: _Line, url: URL, timeout: float) -> None:
        self.url = url
        self.status = 0
        self.headers: dict[str, str] = {}
        self.timeout = timeout
        self._line: _Line | None = line
        self._loop = line.loop
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._size = self._arrived = 0
        self._has_body = self._has_head = self._has_length = self._is_kept = self._is_whole = self._paused = False
        self._inflate: zlib._Decompress | None = None  # pyright: ignore[reportPrivateUsage]  (it has no other name)
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._since = 0.0
        self._left = line.lines.largest
        self._ends = line.loop.time() + max(line.lines.longest, timeout)

    @property
    def content_type(self) -> str:
        """Without its parameters, in lower case; empty when nothing was said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_read(self) -> bool:
        """Whether all of it came and was read."""
        return self._is_whole and not self._pieces

    async def begun(self) -> None:
        """Wait for the head."""
        while not self._has_head:
            await self._wait()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """What came, as it comes."""
        while True:
            while self._pieces:
                piece = self._take()
                self._left -= len(piece)
                if self._left < 0:
                    raise aiohttp.ClientPayloadError("the answer does not end: it is longer than any may be")
                if self._loop.time() > self._ends:
                    raise aiohttp.ClientPayloadError("the answer does not end: it took longer than any may")
                yield piece
            if self._error is not None:
                raise self._error
            if self._is_whole:
                return
            await self._wait()

    def let_go(self) -> None:
        """Give the connection back when all was read; else close it, so that the server stops."""
        line, self._line = self._line, None
        self._parser = None  # the two hold each other
        if line is not None:
            if self.is_read:
                line.done(is_kept=self._is_kept)
            else:
                line.close()

    def left(self) -> float | None:
        """Seconds until the silence is too long; None while nothing is waited for, or what came is about to be read."""
        return None if self._waiter is None or self._waiter.done() else self._since + self.timeout - self._loop.time()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._arrived += len(data)
        if self._is_whole or self._parser is None:
            self._is_kept = False  # more than was asked for
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(aiohttp.ClientPayloadError(f"it is no HTTP: {error}"))
        except httptools.HttpParserUpgrade:
            self.fail(aiohttp.ClientPayloadError("it changed the protocol, which nobody asked for"))
        if not self._has_head and self._arrived > _LARGEST_HEAD:
            self.fail(aiohttp.ClientPayloadError("its head is too long"))
        if self._size > _MOST_WAITING and not self._paused and self._line is not None:
            self._paused = True
            self._line.pause()
        self._wake()

    def cut_off(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._is_whole:
            return
        if self._has_head and not self._has_length and error is None:
            self._is_whole = True
        elif not self._arrived:
            self._error = self._error or aiohttp.ServerDisconnectedError()
        else:
            self._error = self._error or aiohttp.ClientPayloadError("the answer was cut off")
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more is to come. What is wrong behind a whole answer is no part of it."""
        if self._is_whole:
            self._is_kept = False
        else:
            self._error = self._error or error
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser: one header; of several of a name the first holds. What follows the body is left."""
        if self._has_head:
            return
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("utf-8", "replace"))

    def on_headers_complete(self) -> None:
        """Of the parser: the head."""
        assert self._parser is not None, "it is the parser that calls"
        if self._has_head:  # a second answer, which nobody asked for
            self._is_kept = False
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # it only says that an answer is to come
            self.headers.clear()
            return
        headers = self.headers
        self._has_head = True
        self._has_length = "content-length" in headers or "transfer-encoding" in headers
        self._is_kept = self._parser.should_keep_alive()
        coding = headers.get("content-encoding", "").strip().lower()
        if coding in _GZIP:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif coding not in _PLAIN:
            self._error = aiohttp.ClientPayloadError(f"it is encoded as {coding[:40]!r}, which nobody asked for")

    def on_body(self, body: bytes) -> None:
        """Of the parser: a piece of the body."""
        if self._is_whole:
            return
        self._has_body = True
        if self._inflate is not None:
            try:
                body = self._inflate.decompress(body, max(1, _MOST_UNPACKED - self._size))
            except zlib.error as error:
                self._error = self._error or aiohttp.ClientPayloadError(f"it is no gzip: {error}")
                return
            if self._inflate.unconsumed_tail:
                self._error = self._error or aiohttp.ClientPayloadError("it unpacks to too much")
                return
        if body:
            self._pieces.append(body)
            self._size += len(body)

    def on_message_complete(self) -> None:
        """Of the parser: the end."""
        if self._inflate is not None and not self._inflate.eof and self._has_body:
            self._error = self._error or aiohttp.ClientPayloadError("its gzip has no end")
        self._is_whole = self._has_head

    def _take(self) -> bytes:
        """All that waits."""
        piece = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and self._line is not None:
            self._paused = False
            self._line.resume()
        return piece

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        line = self._line
        if line is None or not line.is_open:
            raise aiohttp.ServerDisconnectedError
        self._waiter = self._loop.create_future()
        self._since = self._loop.time()
        line.watch(self.timeout)
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not (self._has_head and self._pieces):
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
