"""Server-sent events (WHATWG HTML, section 9.2): ids, a word on when to come back, a sign of life in silence.

Closing the connection closes the source, so that what made the events stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.responses import StreamingResponse

from tidemill.core.json import dump_json

MEDIA: Final = "text/event-stream"
SILENCE: Final = 15.0
"""Seconds without an event after which a comment is sent, so that nothing in between takes the connection for dead."""
_RETRY_MS: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event; `id` is what the caller gives back as `Last-Event-ID`."""

    id: str
    name: str
    data: object

    def encoded(self) -> bytes:
        """On the wire. The data is JSON, which has no line ends."""
        return f"id: {self.id}\nevent: {self.name}\ndata: ".encode() + dump_json(self.data) + b"\n\n"


def last_event_id(request: Request) -> str | None:
    """What the caller saw last, when it comes back."""
    return request.headers.get("last-event-id") or None


def event_stream(source: AsyncGenerator[Event], *, silence: float = SILENCE) -> StreamingResponse:
    """The answer that sends these events as they come."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_lively(source, silence), media_type=MEDIA, headers=headers)


async def _lively(source: AsyncGenerator[Event], silence: float) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    following: asyncio.Future[Event] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(source))
            await asyncio.wait({following}, timeout=silence)
            if not following.done():
                yield b": here\n\n"
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield event.encoded()
    finally:
        if following is not None and not following.done():
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await following
        await source.aclose()
