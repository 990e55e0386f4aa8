"""The process that was started: it holds what must outlive the others, starts them, and starts again whoever ends.

What it holds are the lock on the data folder, the socket that clients connect to, the one behind which the keeper answers, and
the counters of limits: none of them is away while another process is replaced. It opens nothing else and answers no request.

Signals: SIGTERM and SIGINT end all of them after what runs, a second one at once; SIGHUP replaces them one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Generator
from pathlib import Path
from typing import Final

import msgspec

from tidemill.api.announce import announce, check_flags, url_of
from tidemill.api.listen import bind
from tidemill.core.clock import SystemClock
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.logs import start_logging
from tidemill.models.limits.asked import KeptCounters
from tidemill.models.limits.memory import MemoryCounters
from tidemill.store.folder import DataFolder
from tidemill.workers.counts import size_of
from tidemill.workers.given import GO, OTHERS, RETIRE, STOP, Given, Ready, Role
from tidemill.workers.listening import RETIRED_SECONDS
from tidemill.workers.place import Child, Place
from tidemill.workers.terminal import has_hung_up, has_terminal

_LOCK_WAIT: Final = 2.0  # seconds, as for a server of one process
_PATIENCE: Final = 10.0  # seconds that a worker is given to answer the keeper
_ENDS: Final = 45.0  # seconds after which a process that was told to end is killed
_RETIRES: Final = RETIRED_SECONDS + 15.0  # the same for one that was replaced
_LONGEST_PATH: Final = 100  # bytes: the system takes a few more
_encode = msgspec.msgpack.Encoder().encode
_log = logging.getLogger(__name__)


async def supervise(given: Given) -> None:
    """Run a server of several processes until it is told to end. Prints where it listens once all of them are ready.

    Raises what keeps the first of them from starting.
    """
    check_flags(("--port", given.port), ("--otlp-grpc-port", given.otlp_grpc_port or 0), workers=given.workers)
    settings = given.settings()
    with contextlib.ExitStack() as before:
        before.callback(start_logging(settings.log_format, settings.log_level))
        folder = before.enter_context(DataFolder.open(settings.data, wait=_LOCK_WAIT))
        folder.admin_token()  # made here, before several look for it
        listener = before.enter_context(contextlib.closing(bind(given.host, given.port)))
        keeper, address = before.enter_context(_behind(folder.root))
        counts = before.enter_context(tempfile.TemporaryFile())
        counts.truncate(size_of(given.workers))
        supervisor = Supervisor(given, folder, listener=listener, keeper=keeper, address=address, counts=counts.fileno())
        try:
            await supervisor.run()
        finally:
            folder.remove_server_file()


class Supervisor:
    """Belongs to one event loop."""

    def __init__(
        self, given: Given, folder: DataFolder, *, listener: socket.socket, keeper: socket.socket, address: str, counts: int
    ) -> None:
        self._given = given
        self._folder = folder
        self._listener = listener
        self._behind = keeper
        self._address = address
        self._counts = counts
        self._url = url_of(given.host, listener.getsockname()[1])
        self._counters = MemoryCounters(SystemClock())
        self._keeper = Place(lambda: self._spawn(0))
        self._workers = [Place(lambda number=number: self._spawn(number)) for number in range(1, given.workers + 1)]
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._is_stopping = False
        self._has_terminal = has_terminal()
        self._starting: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Start all, announce, keep them going, end all."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(each, self._heed, each)
        keeping: list[asyncio.Task[None]] = []
        self._starting = asyncio.ensure_future(self._start())
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
            if self._is_stopping:
                return
            keeping = [asyncio.create_task(each.keep()) for each in self._places]
            await self._until_stopped()
            await self._stop()
        finally:
            for each in keeping:
                each.cancel()
            for each in self._places:
                each.kill()
            await asyncio.gather(*keeping, *(each.all_gone() for each in self._places), return_exceptions=True)

    @property
    def _places(self) -> list[Place]:
        return [self._keeper, *self._workers]

    def _heed(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and not has_hung_up(self._has_terminal):
            self._signals.put_nowait(number)
            return
        if self._is_stopping:
            for each in self._places:
                each.kill()
            self._folder.remove_server_file()
            os._exit(128 + number)
        self._is_stopping = True
        if self._starting is not None:
            self._starting.cancel()
        self._signals.put_nowait(signal.SIGTERM)

    async def _start(self) -> None:
        for each in self._places:
            await each.begin()
        found = await self._keeper.ready()
        ready = msgspec.msgpack.decode(found, type=Ready)
        if ready.otlp_grpc is not None:  # the next keeper takes the same port
            port = int(ready.otlp_grpc.rpartition(":")[2])
            self._given = msgspec.structs.replace(self._given, otlp_grpc_port=port)
        for each in self._workers:
            each.tell(GO)
        await asyncio.gather(*(each.ready() for each in self._workers))
        self._folder.write_server_file(self._url)
        announce(
            self._url, self._folder.token_file, ready.link, otlp_grpc=ready.otlp_grpc, json=self._given.json,
            open_browser=self._given.open_browser, workers=self._given.workers,
        )  # fmt: skip

    async def _until_stopped(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            try:
                await self._renew()
            except TidemillError as error:
                _log.error("the processes were not replaced: %s", error)

    async def _renew(self) -> None:
        """Replace all: the keeper first, which brings the database up to date, then each worker by one that listens already."""
        _log.warning("replacing the processes one by one")
        await _check_startable(self._given)
        await self._keeper.replace_in_place(lambda child: child.tell(STOP), patience=_ENDS)
        for each in self._workers:
            if self._is_stopping:
                return
            await each.replace(first=lambda child: child.tell(GO), then=lambda child: child.tell(RETIRE), patience=_RETIRES)
        _log.warning("all processes were replaced")

    async def _stop(self) -> None:
        """Workers first: what they passed on to the keeper is finished by it."""
        self._listener.close()
        await asyncio.gather(*(each.stop(lambda child: child.tell(STOP), patience=_ENDS) for each in self._workers))
        await self._keeper.stop(lambda child: child.tell(STOP), patience=_ENDS)

    async def _spawn(self, number: int) -> Child:
        inherited = self._listener if number else self._behind
        kept = KeptCounters(self._counters)

        def answer(what: str, body: bytes) -> bytes | Awaitable[bytes]:
            return self._ask_workers(body.decode()) if what == OTHERS else kept.answer(what, body)

        def role(link: int) -> Role:
            return Role(
                number=number, parent=os.getpid(), link=link, listener=inherited.fileno(), counts=self._counts,
                keeper=self._address, url=self._url, given=self._given,
            )  # fmt: skip

        files = (inherited.fileno(), self._counts, self._folder.lock)
        child = await Child.spawn(role, files=files, answer=answer, on_gone=kept.release)
        if number and self._keeper.is_ready:
            child.tell(GO)
        return child

    async def _ask_workers(self, what: str) -> bytes:
        """What each of the workers answers; nothing of one that has just ended or hangs."""

        async def one(child: Child) -> bytes:
            with contextlib.suppress(TidemillError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    return await child.link.ask(what)
            return b""

        children = [child for each in self._workers for child in each.children if child.is_ready]
        return _encode(await asyncio.gather(*(one(each) for each in children)))


async def _check_startable(given: Given) -> None:
    """Raise what would keep a new process from starting, before an old one is ended for it."""
    given.settings()
    tried = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import tidemill.workers.child", stdin=subprocess.DEVNULL, start_new_session=True
    )
    if await tried.wait():
        raise Unavailable("the code that is installed now cannot be started", hint="The log says why.")


@contextlib.contextmanager
def _behind(data: Path) -> Generator[tuple[socket.socket, str]]:
    """The socket behind which the keeper answers, in a folder that only this user can enter, and its path."""
    with contextlib.ExitStack() as before, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = data / "keeper.sock"
        if len(os.fsencode(path)) > _LONGEST_PATH:
            path = Path(before.enter_context(tempfile.TemporaryDirectory(prefix="tidemill-"))) / path.name
        path.unlink(missing_ok=True)  # of a server that was killed; this one holds the folder
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1024)
        listener.setblocking(False)
        try:
            yield listener, str(path)
        finally:
            path.unlink(missing_ok=True)
