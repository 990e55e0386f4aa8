"""What a request's body may be: how large, how deep, in which encoding, and how long it may take to arrive.

A JSON body is read whole here, unpacked when it is compressed, and checked before any route sees it. A route that reads its
body as a stream (blobs, imports) gets it piece by piece, unpacked too, and bounds it itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.problems import problem_response
from tidemill.core.errors import BodyTimeout, TidemillError, TooLarge, UnsupportedMedia
from tidemill.core.limits import Limits
from tidemill.core.unpacking import ENCODINGS, Unpacker, unpacker

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_ON_THE_LOOP: Final = 256 * 1024  # bytes that are looked through at once, about a millisecond
Streams = Callable[[str, str], bool]
"""Whether a method on a path reads its body piece by piece."""


class ClientGone(Exception):
    """The caller hung up before the body was whole."""


class Bodies:
    """ASGI middleware: reads, unpacks and bounds the bodies of requests."""

    def __init__(self, app: ASGIApp, *, limits: Limits, streams: Streams) -> None:
        self._app = app
        self._limits = limits
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a body that is within bounds, or answer with a problem."""
        if scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        try:
            headers = dict(scope["headers"])
            unpack = unpacker(headers.get(b"content-encoding", b"").decode("latin-1"))
            if self._streams(scope["method"], scope["path"]):
                handed: Receive = _Stream(receive, unpack, seconds=self._limits.body_seconds)
            else:
                self._check_length(headers)
                body = await self._read(receive, unpack)
                if body and not _is_json(headers.get(b"content-type", b"")):
                    shown = headers.get(b"content-type", b"").decode("latin-1")[:80]
                    message = f"a body of type {shown!r} is not taken" if shown else "the body has no content-type"
                    raise UnsupportedMedia(message, hint="Send content-type: application/json.")
                await self._check_form(body)
                handed = Whole(body, receive)
        except ClientGone:
            return
        except TidemillError as error:
            response = problem_response(error)
            if isinstance(error, UnsupportedMedia):
                response.headers["accept-encoding"] = ", ".join(ENCODINGS)
            if isinstance(error, BodyTimeout | TooLarge):
                response.headers["connection"] = "close"  # what is still on its way would be read as the next request
            await response(scope, receive, send)
            return
        await self._app(_unpacked(scope) if unpack is not None else scope, handed, send)

    def _check_length(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise self._too_large(int(length))

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"a body of {size:,} bytes or more is larger than {self._limits.body_bytes:,}",
            hint="Send large content as blobs, or raise body_bytes under [limits] in tidemill.toml.",
        )

    async def _read(self, receive: Receive, unpack: Unpacker | None) -> bytes:
        most, body = self._limits.body_bytes, bytearray()
        with anyio.move_on_after(self._limits.body_seconds) as scope:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece: bytes = message.get("body", b"")
                for part in (piece,) if unpack is None else unpack.feed(piece):
                    body += part
                    if len(body) > most:
                        raise self._too_large(len(body))
                if not message.get("more_body", False):
                    if unpack is not None:
                        unpack.check_complete()
                    return bytes(body)
        assert scope.cancelled_caught
        raise BodyTimeout(f"the body did not arrive in {self._limits.body_seconds} seconds", hint="Send it again.")

    async def _check_form(self, body: bytes) -> None:
        """Refuse nesting and keys beyond the limits, before a parser builds them."""
        limits = self._limits
        if body.count(b"[") + body.count(b"{") <= limits.json_depth and body.count(b":") <= limits.json_keys:
            return
        look = check_form
        if len(body) > _ON_THE_LOOP:
            await anyio.to_thread.run_sync(look, body, limits)
        else:
            look(body, limits)


def check_form(body: bytes, limits: Limits) -> None:
    """Raise `TooLarge` for JSON that nests deeper, or has more keys, than the limits; other errors are the parser's to find."""
    bare = _STRINGS.sub(b"", body)
    keys = bare.count(b":")
    if keys > limits.json_keys:
        raise TooLarge(f"the body has {keys:,} keys, more than {limits.json_keys:,}", hint="Send it in parts.")
    if bare.count(b"[") + bare.count(b"{") > limits.json_keys:
        raise TooLarge(f"the body has more than {limits.json_keys:,} objects and lists", hint="Send it in parts.")
    depth = 0
    for found in _BRACKETS.finditer(bare):
        depth += 1 if found.group() in b"[{" else -1
        if depth > limits.json_depth:
            raise TooLarge(f"the body nests deeper than {limits.json_depth} levels", hint="Flatten it.")


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _unpacked(scope: Scope) -> Scope:
    dropped = {b"content-encoding", b"content-length"}
    return {**scope, "headers": [each for each in scope["headers"] if each[0] not in dropped]}


class Whole:
    """`receive` of a body that is read already."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The body, once; then whatever else comes."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Stream:
    """`receive` of a body that the route reads piece by piece; each piece must come within the time limit."""

    def __init__(self, receive: Receive, unpack: Unpacker | None, *, seconds: int) -> None:
        self._receive = receive
        self._unpack = unpack
        self._seconds = seconds
        self._steps: Iterator[bytes] | None = None
        self._more = True

    async def __call__(self) -> Message:
        if self._steps is None and not self._more:
            return await self._receive()  # the route waits for the caller to hang up
        while True:
            if self._steps is None:
                message = await self._next()
                self._more = message.get("more_body", False)
                if self._unpack is None or message["type"] == "http.disconnect":
                    return message
                self._steps = self._unpack.feed(message.get("body", b""))
            piece = next(self._steps, None)
            if piece is not None:
                return {"type": "http.request", "body": piece, "more_body": True}
            self._steps = None
            if not self._more:
                assert self._unpack is not None
                self._unpack.check_complete()
                return {"type": "http.request", "body": b"", "more_body": False}

    async def _next(self) -> Message:
        with anyio.move_on_after(self._seconds):
            return await self._receive()
        raise BodyTimeout(f"the body paused for {self._seconds} seconds", hint="Send it again.")
