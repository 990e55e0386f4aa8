"""A kit for providers: what a real one was once asked and answered, replayed.

Give `check_recording` an exchange as it went over the wire, and the request that stands behind it. A server on loopback
answers as was recorded, cut into small pieces. What the provider asks of it has to be what was recorded, and what it reads has
to be the same however the bytes are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable
from urllib.parse import unquote

import orjson
from aiohttp import web

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection
from tidemill.core.errors import Unavailable
from tidemill.core.extend import ChatProvider
from tidemill.core.json import Json
from tidemill.models.assemble import Assembly
from tidemill.models.http_chat import Streaming

_CUT = 37
_SIZES = (1, 7, 4096)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One exchange. `path` has its query; `content` is the answer's bytes; `is_stream`: they came one after another."""

    id: str
    path: str
    request: Json
    content: bytes
    is_stream: bool
    status: int = 200
    content_type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What the provider asked of the server, and what it made of the answer."""

    path: str
    request: Json
    response: ChatResponse


@dataclass(kw_only=True, slots=True)
class ReplayServer:
    """Answers every request with the same recording, and keeps what it was asked."""

    url: str = ""
    recorded: Recorded | None = None
    cut: int = _CUT
    paths: list[str] = field(default_factory=list[str])
    requests: list[Json] = field(default_factory=list[Json])
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        self.paths.append(request.raw_path)
        self.requests.append(cast("Json", orjson.loads(body)) if body else None)
        self.asked.set()
        recorded = self.recorded
        assert recorded is not None, "say what was recorded first"
        headers = {"content-type": recorded.content_type or _type(recorded)}
        if not recorded.is_stream:
            return web.Response(status=recorded.status, body=recorded.content, headers=headers)
        response = web.StreamResponse(status=recorded.status, headers=headers)
        await response.prepare(request)
        for piece in cut(recorded.content, self.cut):
            await response.write(piece)
        await response.write_eof()
        return response


def _type(recorded: Recorded) -> str:
    return "application/octet-stream" if recorded.is_stream else "application/json"


@contextlib.asynccontextmanager
async def replay_server() -> AsyncGenerator[ReplayServer]:
    """A server on loopback. Set `recorded`, then ask below `url`."""
    server = ReplayServer()
    app = web.Application(client_max_size=2**28)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def replay(
    provider: ChatProvider, recorded: Recorded, request: ChatRequest, *, server: ReplayServer, connection: Connection
) -> Replayed:
    """Ask as was once asked; raises what the provider raises. `connection` leads to `server`."""
    server.recorded = recorded
    begun = len(server.requests)
    if recorded.is_stream:
        assembly = Assembly()
        async for delta in provider.stream(request, connection=connection):
            assembly.add(delta)
        response = assembly.response()
    else:
        response = await provider.chat(request, connection=connection)
    return Replayed(path=server.paths[begun], request=server.requests[begun], response=response)


async def check_recording(
    provider: ChatProvider,
    recorded: Recorded,
    request: ChatRequest,
    *,
    server: ReplayServer,
    connection: Connection,
    same: Callable[[Json], Json] = lambda body: body,
    streamed: Callable[[], Streaming] | None = None,
) -> ChatResponse:
    """What the provider asks is what was recorded, and it reads the answer to its end. Gives what it read.

    `same` makes two ways of saying one thing the same: what a provider documents to write otherwise. `streamed` makes what
    reads one of its streams, where the provider is no `HttpChat`.
    """
    replayed = await replay(provider, recorded, request, server=server, connection=connection)
    assert unquote(replayed.path) == unquote(recorded.path), (
        f"{recorded.id}: asked at {replayed.path}, recorded {recorded.path}"
    )
    asked, wanted = same(replayed.request), same(recorded.request)
    assert asked == wanted, f"{recorded.id}: {first_difference(asked, wanted)}"
    assert replayed.response.finish_reason, f"{recorded.id}: it does not say why it ended"
    if recorded.is_stream and streamed is not None:
        check_cuts(streamed, recorded.content, name=recorded.id)
    elif recorded.is_stream and isinstance(provider, _Reads):
        check_cuts(lambda: provider.streamed(connection, request.model), recorded.content, name=recorded.id)
    return replayed.response


@runtime_checkable
class _Reads(Protocol):
    def streamed(self, connection: Connection, model: str) -> Streaming:
        """What reads one stream."""
        ...


def check_cuts(make: Callable[[], Streaming], content: bytes, *, name: str = "the stream") -> None:
    """The answer is the same however its bytes are cut, and one that breaks off is `Unavailable`."""
    wanted = read_all(make(), [content])
    for size in _SIZES:
        found = read_all(make(), cut(content, size))
        assert found == wanted, f"{name}: read otherwise in pieces of {size} bytes"
    for place in places(content):
        found = read_all(make(), (content[:place], content[place:]))
        assert found == wanted, f"{name}: read otherwise when cut at byte {place}"
    try:
        read_all(make(), [content[: len(content) // 2]])
    except Unavailable:
        return
    raise AssertionError(f"{name}: half of it passed for the whole")


def read_all(streaming: Streaming, pieces: Sequence[bytes] | Iterator[bytes]) -> ChatResponse:
    """The answer that these bytes are, by what a provider reads its streams with."""
    assembly = Assembly()
    for piece in pieces:
        for delta in streaming.feed(piece):
            assembly.add(delta)
    last: list[ChatDelta] = list(streaming.end())
    for delta in last:
        assembly.add(delta)
    return assembly.response()


def cut(content: bytes, size: int) -> Iterator[bytes]:
    """The content in pieces of `size` bytes."""
    return (content[start : start + size] for start in range(0, len(content), size))


def places(content: bytes) -> list[int]:
    """Places where a cut hurts: within a line end, a field's name, a character, an escape; of each kind the first few."""
    found: set[int] = set()
    for mark, at in (
        (b"\r\n", 1),
        (b"\n\n", 1),
        (b"data:", 3),
        (b"event:", 2),
        (b"\\u", 1),
        (b"\\n", 1),
        (b'"', 1),
        (b": ", 1),
    ):
        start = 0
        for _ in range(4):
            start = content.find(mark, start)
            if start < 0:
                break
            found.add(start + at)
            start += len(mark)
    inside = [index for index, byte in enumerate(content) if 0x80 <= byte < 0xC0]
    found.update(inside[:4])
    return sorted(place for place in found if 0 < place < len(content))


def first_difference(found: Json, wanted: Json, *, where: str = "") -> str:
    """Where two values differ first, in words."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            place = f"{where}.{key}" if where else key
            if key not in found:
                return f"{place} is missing; recorded {_shown(wanted[key])}"
            if key not in wanted:
                return f"{place} was not recorded: {_shown(found[key])}"
            if found[key] != wanted[key]:
                return first_difference(found[key], wanted[key], where=place)
    if isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            return f"{where} has {len(found)} values, recorded {len(wanted)}: {_shown(found)} for {_shown(wanted)}"
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if one != other:
                return first_difference(one, other, where=f"{where}[{index}]")
    return f"{where} is {_shown(found)}, recorded {_shown(wanted)}"


def _shown(value: Json) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"
