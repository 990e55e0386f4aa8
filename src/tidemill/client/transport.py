"""httpx over an ASGI application in this process, with answers that stream as they are made.

(httpx's own `ASGITransport` waits for the whole answer, which would hide a job's progress and a model's first words.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self, TypeAlias

import anyio
import httpx

AsgiMessage: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]
_BUFFERED = 64


class AppTransport(httpx.AsyncBaseTransport):
    """Sends each request to `app`. Closing an answer early tells the application that the client has gone."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)  # given the caller's error, the group would wrap it

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Start the application on the request and return as soon as it has sent status and headers."""
        exchange = _Exchange(request)
        self._tasks.start_soon(exchange.run, self._app)
        try:
            await exchange.started.wait()
        except BaseException:
            await exchange.aclose()
            raise
        if exchange.failure is not None and exchange.status == 0:
            await exchange.aclose()
            raise exchange.failure
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)


class _Exchange(httpx.AsyncByteStream):
    """One request and its answer."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self._body = aiter(request.stream)
        self._is_whole, self._sent = isinstance(request.stream, httpx.ByteStream), False
        self.started, self.gone = anyio.Event(), anyio.Event()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.failure: Exception | None = None
        self._complete = False
        self._into, self._out = anyio.create_memory_object_stream[bytes](_BUFFERED)

    async def run(self, app: AsgiApp) -> None:
        with self._into:
            try:
                await app(self._scope(), self._receive, self._send)
            except Exception as error:  # noqa: BLE001  (the application's boundary: it is raised again where the answer is read)
                self.failure = error
            finally:
                self.started.set()

    def _scope(self) -> AsgiMessage:
        url = self.request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self.request.headers.raw],
            "server": (url.host, url.port or 80),
            "client": ("127.0.0.1", 0),
        }

    async def _receive(self) -> AsgiMessage:
        if not self._sent:
            try:
                piece = await self._body.__anext__()
            except StopAsyncIteration:  # anext with a default lets it through when it is cancelled
                piece = b""
            self._sent = self._is_whole or not piece
            return {"type": "http.request", "body": piece, "more_body": not self._sent}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
            self.started.set()
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)
            try:
                if message.get("body"):
                    await self._into.send(bytes(message["body"]))
            except anyio.BrokenResourceError:
                self.gone.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._out:
            yield chunk
        if self.failure is not None and not self._complete:
            raise self.failure

    async def aclose(self) -> None:
        self.gone.set()
        self._out.close()
