"""One of a server's processes: `python -m tidemill.workers.child ROLE`, started by `supervise` and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import anyio
import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.announce import login_link
from tidemill.api.metrics import figures_of
from tidemill.api.part import Figures, Part
from tidemill.api.platform import Platform
from tidemill.app import front, open_parts, otlp_grpc_door
from tidemill.core.clock import SystemClock
from tidemill.core.errors import TidemillError
from tidemill.core.logs import start_logging
from tidemill.core.settings import Settings
from tidemill.models.limits.asked import AskedCounters
from tidemill.store.folder import DataFolder
from tidemill.workers.counts import Counts
from tidemill.workers.given import FAILED, FIGURES, GO, OTHERS, READY, RETIRE, STOP, SYNC, TURN, USAGE, Ready, Role
from tidemill.workers.link import Failure, Link
from tidemill.workers.listening import Listening
from tidemill.workers.passing import Passing

_PR_SET_PDEATHSIG: Final = 1
_KEEPER_DRAIN: Final = 10  # seconds
_TOLD_SECONDS: Final = 5.0
_encode = msgspec.msgpack.Encoder().encode
_read_all = msgspec.msgpack.Decoder(list[bytes]).decode
_read_figures = msgspec.msgpack.Decoder(Figures).decode


class Process:
    """What every one of them does: it hears the supervisor, and ends with it."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.go = asyncio.Event()
        self.platform: Platform | None = None
        self.listening: Listening | None = None
        self.is_over = False
        self._is_stopped = False
        self._link: Link | None = None

    @property
    def link(self) -> Link:
        """The connection to the supervisor."""
        assert self._link is not None
        return self._link

    async def join(self) -> None:
        """Connect, and heed signals."""
        self._link = await Link.over(socket.socket(fileno=self.role.link), answer=self._answer, on_lost=self._lost)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)

    def stop(self) -> None:
        """Take nothing new, finish what runs, end."""
        self._is_stopped = True
        self.go.set()
        if self.listening is not None:
            self.listening.stop()

    async def serve(self, listening: Listening, ready: Ready) -> None:
        """Serve until told to end."""
        self.listening = listening
        if not self._is_stopped:
            await listening.run(on_ready=lambda: self.link.tell(READY, _encode(ready)))

    def _lost(self) -> None:
        """The supervisor has gone: what is under way has nobody who would look after it."""
        if not self.is_over:
            os._exit(1)

    def _answer(self, what: str, _body: bytes) -> bytes | Awaitable[bytes]:
        if what == GO:
            self.go.set()
        elif what == STOP:
            self.stop()
        elif what == RETIRE:
            if self.listening is not None:
                self.listening.retire()
        elif self.platform is not None:
            return self._look(what, self.platform)
        return b""

    async def _look(self, what: str, platform: Platform) -> bytes:
        if what == SYNC:
            await platform.telemetry.sync()
        elif what == TURN:
            await platform.limits.ledger.flush()
            await platform.kept.flush()
            await platform.telemetry.turn()
        elif what == USAGE:
            await platform.limits.ledger.flush()
        elif what == FIGURES:
            return _encode(figures_of(platform))
        return b""


class TheOthers:
    """The workers, as the keeper asks them."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def sync(self) -> None:
        """See `telemetry.store.Others`."""
        await self._ask(SYNC)

    async def turn(self) -> None:
        """See `telemetry.store.Others`."""
        await self._ask(TURN)

    async def write_usage(self) -> None:
        """See `api.part.Others`."""
        await self._ask(USAGE)

    async def figures(self) -> Sequence[Figures]:
        """See `api.part.Others`."""
        return [_read_figures(each) for each in await self._ask(FIGURES) if each]

    async def _ask(self, what: str) -> list[bytes]:
        return _read_all(await self._link.ask(OTHERS, what.encode()))


class WorkerDoor:
    """What a worker answers itself, and what it passes on."""

    def __init__(self, own: ASGIApp, passing: ASGIApp) -> None:
        self._own = own
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        is_own = path.startswith("/v1/") or path in {"/v1", "/healthz", "/readyz"}
        await (self._own if is_own else self._passing)(scope, receive, send)


async def keep(process: Process, settings: Settings) -> None:
    """Be the keeper."""
    role, link = process.role, process.link
    part = Part(others=TheOthers(link), counters=AskedCounters(ask=link.ask, tell=link.tell))
    async with _opened(process, settings, part) as platform:
        given = role.given
        async with otlp_grpc_door(platform, given.host, given.otlp_grpc_port) as (otlp_grpc, drain):
            ready = Ready(link="" if given.json else await login_link(platform, role.url), otlp_grpc=otlp_grpc)
            app = front(platform, frozenset({given.host}))
            listening = Listening(app, _socket(role.listener), drain=_KEEPER_DRAIN, trusts_all=True)
            async with anyio.create_task_group() as beside:
                beside.start_soon(platform.schedules.run)
                await process.serve(listening, ready)
                drain()
                beside.cancel_scope.cancel()


async def work(process: Process, settings: Settings) -> None:
    """Be a worker."""
    role, link = process.role, process.link
    await process.go.wait()
    each = -(-settings.gateway.max_calls // role.given.workers)
    settings = replace(settings, gateway=replace(settings.gateway, max_calls=each))
    part = Part(name=role.name, counters=AskedCounters(ask=link.ask, tell=link.tell))
    passing = Passing(role.keeper)
    counts = Counts(role.counts, place=role.number - 1, places=role.given.workers)
    async with _opened(process, settings, part) as platform:
        door = WorkerDoor(front(platform, frozenset({role.given.host}), part=part), passing)
        try:
            await process.serve(Listening(door, _socket(role.listener), counts=counts), Ready())
        finally:
            await passing.close()


@contextlib.asynccontextmanager
async def _opened(process: Process, settings: Settings, part: Part) -> AsyncGenerator[Platform]:
    folder = DataFolder.beside(settings.data)
    async with open_parts(settings, folder, SystemClock(), part=part) as platform:
        process.platform = platform
        try:
            yield platform
        finally:
            process.platform = None


async def run(role: Role) -> int:
    """Do what this process is for; its exit code."""
    process = Process(role)
    await process.join()
    be: Callable[[Process, Settings], Awaitable[None]] = work if role.number else keep
    try:
        settings = role.given.settings()
        with contextlib.ExitStack() as before:
            before.callback(start_logging(settings.log_format, settings.log_level))
            await be(process, settings)
    except TidemillError as error:
        with contextlib.suppress(TidemillError, TimeoutError):
            async with asyncio.timeout(_TOLD_SECONDS):
                await process.link.ask(FAILED, _encode(Failure.of(error)))
        return 1
    finally:
        process.is_over = True
    return 0


def _socket(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before this was asked for
        os._exit(1)


def main() -> None:
    """Begin."""
    role = msgspec.json.decode(sys.argv[1], type=Role)
    _die_with(role.parent)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the supervisor
    sys.exit(anyio.run(functools.partial(run, role), backend_options={"use_uvloop": sys.platform != "win32"}))


if __name__ == "__main__":
    main()
