"""A real HTTP server on loopback that does what it is told, also wrongly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from tidemill.core.chat import Connection

Behaviour = Callable[[web.Request, dict], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    url: str = ""
    behave: Behaviour | None = None
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def connection(self, provider: str = "openai", **fields) -> Connection:
        return Connection(
            name=provider, provider=provider, **{"base_url": f"{self.url}/v1", "allow_private": True, "timeout": 5.0, **fields}
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path)
        self.arrived.set()
        try:
            return await self.behave(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise


@contextlib.asynccontextmanager
async def serve_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def completion(text="hello", **fields) -> dict:
    return {
        "id": "c", "object": "chat.completion", "model": "gpt-test-1", "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}, **fields,
    }  # fmt: skip


def answering(*replies) -> Behaviour:
    """Each call gets the next reply, the last one again and again: (status, JSON or text, headers)."""
    waiting = list(replies)

    async def behave(request, body):
        status, content, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(content, str):
            return web.Response(status=status, text=content, headers={"content-type": "text/html", **headers})
        return web.json_response(content, status=status, headers=headers)

    return behave


def writing(
    *pieces: bytes, content_type="text/event-stream", abort=False, then: Callable[[], Awaitable] | None = None
) -> Behaviour:
    """A streamed body in exactly these pieces; then perhaps a wait, an end, or a broken connection."""

    async def behave(request, body):
        response = web.StreamResponse(headers={"content-type": content_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if then is not None:
            await then()
        if abort:
            request.transport.abort()
        return response

    return behave


def chunk(text=None, *, finish=None, **fields) -> bytes:
    delta = {} if text is None else {"content": text}
    value = {"model": "gpt-test-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}
    return b"data: " + orjson.dumps(value) + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
