"""Passing a request on as it was written, and its answer back as it comes, with a reader beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from tidemill.core.chat import ChatResponse, Connection
from tidemill.core.extend import RawAnswer
from tidemill.core.json import JsonObject
from tidemill.models.beside import BesideStream, BesideWhole
from tidemill.models.http_chat import Asked, Streaming
from tidemill.models.wire import Wire


async def forward_stream(wire: Wire, asked: Asked, streaming: Streaming, *, connection: Connection) -> RawAnswer:
    """Send what is asked; the bytes of the stream that comes back, which `streaming` reads beside."""
    headers, chunks = await wire.open(
        asked.url, asked.content, headers=asked.headers, connection=connection, secret=asked.secret
    )
    return RawAnswer(status=200, headers=headers, chunks=chunks, reader=BesideStream(streaming))


async def forward_whole(
    wire: Wire, asked: Asked, read: Callable[[JsonObject], ChatResponse], *, connection: Connection
) -> RawAnswer:
    """Send what is asked; the bytes of the whole answer that comes back. `read` raises the error that it may hold."""
    headers, chunks = await wire.open(
        asked.url, asked.content, headers=asked.headers, connection=connection, secret=asked.secret
    )
    return RawAnswer(status=200, headers=headers, chunks=chunks, reader=BesideWhole(read, connection))


def whole(content: bytes, response: ChatResponse, *, connection: Connection) -> RawAnswer:
    """An answer that was written here, because the provider's own is in another form."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    reader = BesideWhole(lambda _: response, connection)
    return RawAnswer(status=200, headers={"content-type": "application/json"}, chunks=chunks(), reader=reader)
