"""Clients that write their own bytes, against the very server that `tidemill up` runs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import orjson
import uvicorn

from serve.platform import Platform
from tidemill.api.connection import ClientConnection, Patience
from tidemill.api.listen import bind


@contextlib.asynccontextmanager
async def served(app, *, patience: Patience | None = None, protocol: type[ClientConnection] = ClientConnection):
    """Serve an ASGI application as `listen` does; its port. `patience` is what a connection has."""
    if patience is not None:
        protocol = type("Short", (protocol,), {"patience": patience})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    listener = bind("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()


@contextlib.asynccontextmanager
async def platform_at(folder, text="", *, patience: Patience | None = None, **options):
    """A platform behind that server: the platform, its port, and the header that lets in."""
    platform = Platform(folder, **options)
    try:
        if text:
            await platform.apply(text)
        async with served(platform.plane, patience=patience) as port:
            platform.url = f"http://127.0.0.1:{port}"
            async with platform.closing:
                yield platform, port, f"authorization: Bearer {await platform.key()}\r\n".encode()
    finally:
        await platform.close()


CLOSE = b"connection: close\r\n"


@dataclass(frozen=True)
class Heard:
    """What came back on a connection until it was closed, or until as much as was asked for."""

    raw: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(each.split(b" ")[0]) for each in self.raw.split(b"HTTP/1.1 ")[1:]]

    @property
    def body(self):
        return orjson.loads(self.raw.partition(b"\r\n\r\n")[2])


async def say(port: int, *pieces: bytes, until: bytes | None = None, seconds: float = 10) -> Heard:
    """Write the pieces, each when the one before has gone out, and read to the end, or `until` something was said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            return Heard(await _heard(reader, until))
    finally:
        writer.transport.abort()


async def _heard(reader: asyncio.StreamReader, until: bytes | None) -> bytes:
    raw = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            raw += piece
            if until is not None and until in raw:
                break
    return raw


def post(path: str, body: bytes, *heads: bytes, length: bool = True) -> bytes:
    """A request as bytes; `heads` are whole lines."""
    size = b"content-length: %d\r\n" % len(body) if length else b""
    return b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\n%b%b\r\n%b" % (path.encode(), size, b"".join(heads), body)
