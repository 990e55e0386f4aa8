"""Answers compressed as the caller accepts: zstd or gzip, from a kilobyte on, never server-sent events."""

from __future__ import annotations

import zlib
from typing import Any, Final, Protocol

import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SMALLEST: Final = 1024
_ON_THE_LOOP: Final = 128 * 1024  # bytes; more is packed on a thread
_ZSTD_LEVEL: Final = 3
_GZIP_LEVEL: Final = 4
_PACKED_WELL: Final = ("application/json", "application/problem+json", "application/x-ndjson", "application/yaml", "text/")
_NEVER: Final = "text/event-stream"


class Packer(Protocol):
    """Packs one answer."""

    def compress(self, data: bytes, /) -> bytes: ...  # noqa: D102  (the method of zlib's object, and of zstd's)

    def flush(self) -> bytes: ...  # noqa: D102  (the same)


class Compression:
    """ASGI middleware: packs what is text, adds `Vary`, and marks the entity tag, for the bytes are others then."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on with a `send` that packs."""
        await self._app(scope, receive, _Sender(_accepted(scope), send))


class _Sender:
    """`send` of one answer; waits with the start until it knows how large the body is."""

    def __init__(self, encoding: str | None, send: Send) -> None:
        self._encoding = encoding
        self._send = send
        self._start: Message | None = None
        self._packer: Packer | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif self._start is not None:
            start, self._start = self._start, None
            await self._first(start, message)
        elif self._packer is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            await self._send(await self._packed(message))

    async def _first(self, start: Message, message: Message) -> None:
        if not _is_text(start):
            await self._send(start)
            await self._send(message)
            return
        headers: list[tuple[bytes, bytes]] = [*start.get("headers", ()), (b"vary", b"accept-encoding")]
        body = message.get("body", b"")
        is_large = message.get("more_body", False) or len(body) >= _SMALLEST
        if self._encoding is not None and is_large and start["status"] not in {204, 304}:
            self._packer = _packer(self._encoding)
            message = await self._packed(message)
            headers = [_marked(name, value, self._encoding) for name, value in headers if name != b"content-length"]
            headers.append((b"content-encoding", self._encoding.encode()))
            if not message["more_body"]:
                headers.append((b"content-length", str(len(message["body"])).encode()))
        await self._send({**start, "headers": headers})
        await self._send(message)

    async def _packed(self, message: Message) -> Message:
        packer, body, more = self._packer, message.get("body", b""), message.get("more_body", False)
        assert packer is not None

        def pack() -> bytes:
            return packer.compress(body) + (b"" if more else packer.flush())

        packed = pack() if len(body) < _ON_THE_LOOP else await anyio.to_thread.run_sync(pack)
        return {"type": "http.response.body", "body": packed, "more_body": more}


def _is_text(start: Message) -> bool:
    kind = ""
    for name, value in start.get("headers", ()):
        if name == b"content-encoding":
            return False
        if name == b"content-type":
            kind = value.decode("latin-1").lower()
    return kind.startswith(_PACKED_WELL) and not kind.startswith(_NEVER)


def _marked(name: bytes, value: bytes, encoding: str) -> tuple[bytes, bytes]:
    """A strong tag names bytes; packed they are others, so the tag says how."""
    if name == b"etag" and not value.startswith(b"W/"):
        return name, value[:-1] + b"-" + encoding.encode() + b'"'
    return name, value


def _accepted(scope: Scope) -> str | None:
    """What the caller takes, zstd before gzip where it says no preference."""
    given = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding").decode("latin-1").lower()
    if not given:
        return None
    weights: dict[str, float] = {}
    for each in given.split(","):
        name, _, parameter = each.partition(";")
        try:
            weights[name.strip()] = float(parameter.partition("=")[2]) if "q" in parameter else 1.0
        except ValueError:
            continue
    ranked = [(weights.get(name, weights.get("*", 0.0)), name) for name in ("zstd", "gzip")]
    weight, name = max(ranked, key=lambda each: each[0])
    return name if weight > 0 else None


def _packer(encoding: str) -> Packer:
    if encoding == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    from backports.zstd import ZstdCompressor  # noqa: PLC0415  (only where a caller takes it)

    made: Any = ZstdCompressor(_ZSTD_LEVEL)
    return made
