"""An upstream on loopback that speaks OpenAI's dialect and does what it is told, also wrongly: for tests of what calls models.

    async with scripted_upstream("hangs_before") as upstream:
        ...                                  # calls to upstream.url hang
        upstream.behaviour = "answers"       # from here on they are answered

`BEHAVIOURS` of `misbehaviour.py` are the names. It writes bytes by itself, so that it can break HTTP too.

    python -m tidemill.testing.upstreams answers hangs_before

serves one for each name in a process of its own (`upstream_process` starts one): the first line that it prints has their URLs,
by name. It ends with its input, and then prints how often each was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.testing.misbehaviour import BEHAVIOURS, Exchange, reset

_LARGEST_HEAD = 256 * 1024


class ScriptedUpstream:
    """One upstream. `behaviour` may be changed at any time, and holds from the next request on; `asked` counts by behaviour.

    `by_model` gives models of the upstream a behaviour of their own.
    """

    def __init__(self, behaviour: str) -> None:
        self._behaviour = _known(behaviour)
        self.by_model: dict[str, str] = {}
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.left = asyncio.Event()
        self.under_way = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def behaviour(self) -> str:
        """What it does."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, name: str) -> None:
        self._behaviour = _known(name)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, and every request on it."""
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.left.set()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and answer it; whether the connection may be used again."""
        if BEHAVIOURS[self._behaviour].before is not None:
            self.asked[self._behaviour] += 1
            reset(writer)
            return False
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        fields = _fields(body)
        name = self.by_model.get(str(fields.get("model")), self._behaviour)
        self.asked[name] += 1
        self.under_way += 1
        answering = asyncio.create_task(BEHAVIOURS[name].answer(Exchange(fields, writer)))
        leaving = asyncio.create_task(_until_gone(reader))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.left.set()
                return False
            return answering.result() and not leaving.done()
        finally:
            self.under_way -= 1
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    def drop(self) -> None:
        """Break every connection off."""
        for writer in tuple(self._writers):
            reset(writer)


@contextlib.asynccontextmanager
async def scripted_upstream(behaviour: str = "answers") -> AsyncGenerator[ScriptedUpstream]:
    """An upstream that listens; its `url` is the base URL of a connection (without a path)."""
    upstream = ScriptedUpstream(behaviour)
    handlers: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(upstream.handle(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_LARGEST_HEAD)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()


@dataclass(kw_only=True, slots=True)
class UpstreamProcess:
    """Upstreams in a process of their own. `urls` are by behaviour; `asked` is there when the process has ended."""

    urls: Mapping[str, str]
    asked: Mapping[str, int] = field(default_factory=dict[str, int])


@contextlib.asynccontextmanager
async def upstream_process(*behaviours: str) -> AsyncGenerator[UpstreamProcess]:
    """An upstream for each behaviour, in a process of their own, so that what they do takes no time of the caller's."""
    words = (sys.executable, "-m", "tidemill.testing.upstreams", *map(_known, behaviours))
    child = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert child.stdin is not None, "it was asked for"
    assert child.stdout is not None, "it was asked for"
    try:
        found = UpstreamProcess(urls=orjson.loads(await child.stdout.readline()))
        yield found
        child.stdin.close()
        found.asked = orjson.loads(await child.stdout.readline())
        await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def closed_url() -> str:
    """A base URL where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def _known(name: str) -> str:
    if name not in BEHAVIOURS:
        raise Invalid(f"an upstream cannot do {name!r}", hint=did_you_mean(name, BEHAVIOURS))
    return name


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _fields(body: bytes) -> JsonObject:
    try:
        found: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return cast("JsonObject", found) if isinstance(found, Mapping) else {}


async def _until_gone(reader: asyncio.StreamReader) -> None:
    """Return when the client closes, or sends more than it may."""
    with contextlib.suppress(ConnectionError):
        await reader.read(1)


async def _serve(behaviours: Sequence[str]) -> None:
    """What the process does."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {each: await stack.enter_async_context(scripted_upstream(each)) for each in behaviours}
        _tell({name: each.url for name, each in upstreams.items()})
        await asyncio.to_thread(sys.stdin.read)
        _tell({name: each.asked.total() for name, each in upstreams.items()})


def _tell(found: Mapping[str, object]) -> None:
    sys.stdout.write(orjson.dumps(found).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
