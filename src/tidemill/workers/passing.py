"""Passing requests on to the process that owns what there is only one of: its answers come back as they are made.

It is reached over a Unix socket, with a connection for each request: what the parent listens on is never closed, so that a
request that comes while that process is started again waits for it. Only one that it had taken up when it was killed fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
from multidict import CIMultiDict
from starlette.types import Receive, Scope, Send
from yarl import URL

from tidemill.api.problems import problem_response
from tidemill.core.errors import Unavailable

_NOT_PASSED_ON: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "expect"}
)
_OWN: Final = frozenset({"x-forwarded-for", "x-forwarded-proto"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TRIES: Final = 3
_LARGEST_HEAD: Final = 256 * 1024
_log = logging.getLogger(__name__)


class Passing:
    """An ASGI application. Belongs to one event loop; `close` it there."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; when the caller goes away, so does it."""
        body = _Body(receive)
        working = asyncio.create_task(self._answer(scope, body, send))
        watching = asyncio.create_task(body.until_gone())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            watching.cancel()
            working.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def close(self) -> None:
        """Let go of what is open."""
        if self._session is not None:
            await self._session.close()

    async def _answer(self, scope: Scope, body: _Body, send: Send) -> None:
        tries = _TRIES if scope["method"] in _SAFE else 1
        has_begun = False
        while not has_begun:
            tries -= 1
            try:
                async with self._opened().request(
                    scope["method"], _address(scope), headers=_headers(scope), data=body.data(scope), allow_redirects=False
                ) as answer:
                    has_begun = True
                    await _pass_back(answer, send)
            except (aiohttp.ClientError, OSError) as error:
                if has_begun:
                    raise  # the connection is cut, which is how the caller learns of it
                if tries:
                    continue
                _log.warning("%s %s could not be passed on: %s", scope["method"], scope["path"], error)
                away = Unavailable(
                    "the process that answers this has just ended", hint="It is started again; try again soon.", retry_after=1.0
                )
                await problem_response(away)(scope, body.receive, send)
                return

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._path, limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
                max_line_size=_LARGEST_HEAD,
                max_field_size=_LARGEST_HEAD,
            )
        return self._session


class _Body:
    """A request's body as it comes, and whether the caller is still there once it has."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self._is_read = asyncio.Event()

    def data(self, scope: Scope) -> AsyncIterator[bytes] | None:
        """The body, None where there is none."""
        names = {name for name, _ in scope["headers"]}
        if b"content-length" in names or b"transfer-encoding" in names:
            return self._pieces()
        self._is_read.set()
        return None

    async def _pieces(self) -> AsyncIterator[bytes]:
        while not self._is_read.is_set():
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise aiohttp.ClientConnectionError("the caller has gone")
            if not message.get("more_body", False):
                self._is_read.set()
            yield message.get("body", b"")

    async def until_gone(self) -> None:
        """Return when the caller has closed the connection."""
        await self._is_read.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _address(scope: Scope) -> URL:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    text = path + (b"?" + query if query else b"")
    return URL("http://keeper" + text.decode("latin-1"), encoded=True)


def _headers(scope: Scope) -> Mapping[str, str]:
    """What the caller sent, and who it is."""
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in scope["headers"]:
        text = name.decode("latin-1")
        if text not in _NOT_PASSED_ON and text not in _OWN:
            found.add(text, value.decode("latin-1"))
    client = scope.get("client")
    if client is not None:
        found["x-forwarded-for"] = client[0]
    found["x-forwarded-proto"] = scope["scheme"]
    return found


async def _pass_back(answer: aiohttp.ClientResponse, send: Send) -> None:
    headers = [
        (name.lower(), value) for name, value in answer.raw_headers if name.lower().decode("latin-1") not in _NOT_PASSED_ON
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for piece in answer.content.iter_any():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
