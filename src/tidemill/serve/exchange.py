"""One HTTP exchange over raw ASGI: read the body within its limit, answer, stream, and notice when the caller has gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.core.json import dump_json
from tidemill.serve.problems import TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = Mapping[str, str]

_SILENCE: Final = 60.0  # seconds without a piece of the body
_DRAINED: Final = 4  # times the limit that is read and dropped, so that the caller gets to read the refusal


class Gone(Exception):
    """The caller closed the connection."""


class Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.has_started = False
        self._is_read = False
        self._receive = receive
        self._send = send

    async def read(self, *, limit: int) -> bytes:
        """The whole body. Raises `TooLarge`, `Gone`, or `Invalid` when it stalls."""
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                async with asyncio.timeout(_SILENCE):
                    message = await self._receive()
            except TimeoutError as error:
                raise Invalid(f"the request's body stopped for {_SILENCE:.0f} s", hint="Send it again.") from error
            if message["type"] == "http.disconnect":
                raise Gone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            if not message.get("more_body", False) or size > _DRAINED * limit:
                break
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
        working = asyncio.create_task(work)
        watching = asyncio.create_task(self._wait_gone())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Gone("the caller closed the connection")
            working.result()
        finally:
            watching.cancel()
            working.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _wait_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send_json(self, status: int, body: object, *, headers: Mapping[str, str]) -> None:
        """Answer with one JSON document."""
        content = dump_json(body)
        await self._start(status, {"content-type": "application/json", "content-length": str(len(content)), **headers})
        await self._send({"type": "http.response.body", "body": content})

    async def send(self, status: int, content: bytes, *, headers: Mapping[str, str]) -> None:
        """Answer with bytes; `headers` say of which type they are."""
        await self._start(status, {"content-length": str(len(content)), **headers})
        await self._send({"type": "http.response.body", "body": content})

    async def start_events(self, *, headers: Mapping[str, str]) -> None:
        """Begin server-sent events."""
        fixed = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
        await self._start(200, {**fixed, **headers})

    async def send_events(self, events: bytes, *, last: bool = False) -> None:
        """Send the bytes of complete events, if there are any; the `last` end the response."""
        if events or last:
            await self._send({"type": "http.response.body", "body": events, "more_body": not last})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.has_started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
