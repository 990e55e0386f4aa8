"""One HTTP exchange over raw ASGI: read the body within its limit, answer, stream, and notice when the caller has gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from tidemill.core.errors import BodyTimeout
from tidemill.core.json import dump_json
from tidemill.serve.problems import TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = Mapping[str, str]

_SILENCE: Final = 60.0  # seconds that a body may take, and more as it comes
_SLOWEST: Final = 4096.0  # bytes a second below which a body only trickles
_MOMENT: Final = 0.05  # seconds that an answer may take before it is watched whether the caller is still there
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_UNDER_WAY: Final = b"-"  # in place of the end of a stream's bytes, while some go out and after the last
_DRAINED: Final = 4  # times the limit that is read and dropped, so that the caller gets to read the refusal


class Gone(Exception):
    """The caller closed the connection."""


class Presence:
    """Whether the caller is there, as a server's connection knows it: it stands in `scope["tidemill.presence"]`."""

    __slots__ = ("is_gone", "tell")

    def __init__(self) -> None:
        self.is_gone = False
        self.tell: Callable[[], None] | None = None

    def leave(self) -> None:
        """The connection is closed: tell whoever wants to know."""
        self.is_gone = True
        if self.tell is not None:
            self.tell()


class Exchange:
    """One request and its response. `sent` counts what went into a stream, `tail` is the last of it, once it is out.

    What stands between here and the connection looks at the head of the response only, so its body goes straight to
    `scope["tidemill.send"]`, where that is.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Headers = scope.get("tidemill.headers") or {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.has_started = False
        self.sent = 0
        self.tail = b""
        self._opening: asyncio.Event | None = None
        self._is_read = False
        self._receive = receive
        self._send = send
        self._send_body: Send = scope.get("tidemill.send") or send
        self._presence: Presence | None = scope.get("tidemill.presence")

    async def read(self, *, limit: int) -> bytes:
        """The whole body. Raises `TooLarge`, `Gone`, or `BodyTimeout` when it stalls, or trickles."""
        patience = _Patience()
        try:
            return await self._read(limit, patience)
        except asyncio.CancelledError:
            if not patience.took_back():
                raise
            hint = "Send it again, and at once."
            raise BodyTimeout(f"the request's body did not arrive within {_SILENCE:.0f} s", hint=hint) from None
        finally:
            patience.end()

    async def _read(self, limit: int, patience: _Patience) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            if not message.get("more_body", False) or size > _DRAINED * limit:
                break
            patience.extend(size)
        if size > limit:
            raise TooLarge(f"the request is larger than {limit:,} bytes", hint="Send less, or files by address.")
        return b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is still to come of the body. Raises `Gone`; how long and how large it may be is the caller's to watch."""
        while not self._is_read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            self._is_read = not message.get("more_body", False)
            yield message.get("body", b"")

    async def drain(self, *, limit: int, seconds: float) -> None:
        """Read and drop the rest of a body, so that the caller is done sending and reads the answer. Raises `Gone`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for piece in self.pieces():
                    limit -= len(piece)
                    if limit < 0:
                        return

    async def until_gone(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, and cancel it when the caller closes the connection, in which case `Gone` is raised."""
        watch = _Watch(self._receive, self._presence)
        try:
            await work
        except asyncio.CancelledError:
            if watch.took_back():
                raise Gone("the caller closed the connection") from None
            raise
        finally:
            watch.end()

    async def send_json(self, status: int, body: object, *, headers: Mapping[str, str]) -> None:
        """Answer with one JSON document."""
        content = dump_json(body)
        fixed = {"content-type": "application/json", "content-length": str(len(content))}
        await self.start(status, headers={**fixed, **headers})
        await self._send_body({"type": "http.response.body", "body": content})

    async def send(self, status: int, content: bytes, *, headers: Mapping[str, str]) -> None:
        """Answer with bytes; `headers` say of which type they are."""
        await self.start(status, headers={"content-length": str(len(content)), **headers})
        await self._send_body({"type": "http.response.body", "body": content})

    async def start_events(self, *, headers: Mapping[str, str]) -> None:
        """Begin server-sent events, unless a ping has begun them."""
        if self._opening is None:
            await self._start_events(headers)

    async def _start_events(self, headers: Mapping[str, str]) -> None:
        fixed = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
        await self.start(200, headers={**fixed, **headers})

    async def send_events(self, events: bytes, *, last: bool = False) -> None:
        """Send the bytes of complete events, if there are any; the `last` end the response."""
        if self._opening is not None:
            await self._opening.wait()
        if events or last:
            self.sent += 1
            self.tail = _UNDER_WAY
            await self._send_body({"type": "http.response.body", "body": events, "more_body": not last})
            self.tail = _UNDER_WAY if last else events

    async def open_events(self, ping: bytes, *, headers: Mapping[str, str]) -> None:
        """Begin server-sent events with a ping, beside what is still waited for."""
        if self.has_started:
            return
        self._opening = asyncio.Event()
        try:
            await self._start_events(headers)
            await self.ping(ping)
        finally:
            self._opening.set()

    async def ping(self, ping: bytes) -> None:
        """Send a sign of life, if this is between two events."""
        if self.tail and not self.tail.endswith(_EVENT_ENDS):
            return
        await self._send_body({"type": "http.response.body", "body": ping, "more_body": True})

    async def start(self, status: int, *, headers: Mapping[str, str]) -> None:
        """Begin the response. What cannot stand in a header, such as the end of a line, is left out of it."""
        self.has_started = True
        raw = [(name.encode("latin-1"), _header(value)) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


class _Canceller:
    """May cancel the task that makes it. As `asyncio.timeout`, at a fraction of its cost."""

    __slots__ = ("_has_cancelled", "_loop", "_task")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._has_cancelled = False

    def took_back(self) -> bool:
        """Whether it was this that cancelled the task, and nobody else: then the task goes on."""
        return self._has_cancelled and self._task is not None and self._task.uncancel() == 0

    def _cancel(self) -> None:
        if self._task is not None:
            self._has_cancelled = self._task.cancel()


class _Patience(_Canceller):
    """How long is waited for a body. A piece buys time by its size, so that what trickles ends and what is large may come."""

    __slots__ = ("_begun", "_timer")

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._loop.time()
        self._timer = self._loop.call_at(self._begun + _SILENCE, self._cancel)

    def extend(self, size: int) -> None:
        """So much has come in all, and more is to come."""
        self._timer.cancel()
        due = min(self._loop.time(), self._begun + size / _SLOWEST) + _SILENCE
        self._timer = self._loop.call_at(due, self._cancel)

    def end(self) -> None:
        """Wait no more."""
        self._timer.cancel()


class _Watch(_Canceller):
    """Cancels when the caller goes away: told so by the connection, else by waiting for it once a moment has passed."""

    __slots__ = ("_presence", "_receive", "_timer", "_watching")

    def __init__(self, receive: Receive, presence: Presence | None) -> None:
        super().__init__()
        self._receive = receive
        self._presence = presence
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if presence is None:
            self._timer = self._loop.call_later(_MOMENT, self._begin)
            return
        presence.tell = self._cancel
        if presence.is_gone:
            self._loop.call_soon(presence.leave)

    def end(self) -> None:
        """Watch no more."""
        if self._presence is not None:
            self._presence.tell = None
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel()


def _header(value: str) -> bytes:
    if value.isprintable() and value.isascii():
        return value.encode("ascii")
    return "".join(each if " " <= each <= "~" else "?" for each in value).encode("ascii")
