"""One of a server's processes and whoever takes its place: started, watched, started again, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from tidemill.core.errors import Unavailable
from tidemill.workers.given import FAILED, READY, Role
from tidemill.workers.link import Answer, Failure, Link

_START: Final = 120.0  # seconds that a process is given to be ready
_SOON: Final = 5.0  # seconds: whoever ends sooner than that after its start is started again after a pause
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_log = logging.getLogger(__name__)


class Child:
    """A process and the link to it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.began = time.monotonic()
        self.is_expected = False
        """Whether it was told to end."""
        self.gone = asyncio.Event()
        self._ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._link: Link | None = None

    @classmethod
    async def spawn(
        cls, role: Callable[[int], Role], *, files: Sequence[int], answer: Answer, on_gone: Callable[[], None]
    ) -> Child:
        """Start one: `role` is given the descriptor of its link, `files` are what it inherits besides."""
        ours, theirs = socket.socketpair()
        with theirs:
            said = role(theirs.fileno())
            command = [sys.executable, "-m", "tidemill.workers.child", msgspec.json.encode(said).decode()]
            process = subprocess.Popen(  # noqa: ASYNC220, S603  (it returns once the program, our own, has begun)
                command, pass_fds=(theirs.fileno(), *files), stdin=subprocess.DEVNULL, start_new_session=True
            )
        child = cls(said.name, process)
        child._link = await Link.over(
            ours, answer=lambda what, body: child._heard(what, body, answer), on_lost=lambda: child._lost(on_gone)
        )
        return child

    @property
    def link(self) -> Link:
        """The connection to it."""
        assert self._link is not None
        return self._link

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None and not self.gone.is_set()

    async def ready(self) -> bytes:
        """What it says once it serves. Raises what it failed with, and `Unavailable` when it ended or took too long."""
        try:
            async with asyncio.timeout(_START):
                return await asyncio.shield(self._ready)
        except TimeoutError as error:
            raise Unavailable(f"{self.name} was not ready within {_START:.0f} s", hint="The server's log says more.") from error

    def tell(self, what: str) -> None:
        """Send it a message."""
        self.link.tell(what)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def end(self, how: Callable[[Child], None], *, patience: float) -> None:
        """Tell it to end, wait until it has, and kill it after `patience` seconds."""
        self.is_expected = True
        how(self)
        try:
            async with asyncio.timeout(patience):
                await self.gone.wait()
        except TimeoutError:
            _log.warning("%s (process %d) did not end within %.0f s and is killed", self.name, self.process.pid, patience)
            self.kill()
            await self.gone.wait()

    def _heard(self, what: str, body: bytes, answer: Answer) -> bytes | Awaitable[bytes]:
        if what == READY:
            if not self._ready.done():
                self._ready.set_result(body)
            return b""
        if what == FAILED:
            self._fail(msgspec.msgpack.decode(body, type=Failure).error())
            return b""
        return answer(what, body)

    def _fail(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # whoever waits is told; nobody may

    def _lost(self, on_gone: Callable[[], None]) -> None:
        on_gone()
        self._fail(Unavailable(f"{self.name} ended before it was ready", hint="The server's log says more."))
        task = asyncio.get_running_loop().run_in_executor(None, self.process.wait)
        task.add_done_callback(lambda _: self.gone.set())


class Place:
    """Where one process is at a time, and while it is replaced two. `spawn` starts one."""

    def __init__(self, spawn: Callable[[], Awaitable[Child]]) -> None:
        self.children: list[Child] = []
        self._spawn = spawn
        self._is_over = self._has_been = False
        self._changed = asyncio.Event()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether the one that is here now serves, or any did before."""
        return self._has_been or any(each.is_ready for each in self.children)

    async def begin(self) -> None:
        """Start the first."""
        self.children.append(await self._spawn())

    async def ready(self) -> bytes:
        """What it says once it serves. Raises as `Child.ready`."""
        found = await self.children[-1].ready()
        self._has_been = True
        return found

    def tell(self, what: str) -> None:
        """Send a message to whoever is here."""
        self.children[-1].tell(what)

    def kill(self) -> None:
        """End whoever is here at once."""
        self._is_over = True
        for each in self.children:
            each.is_expected = True
            each.kill()

    async def all_gone(self) -> None:
        """Return when nobody is here."""
        for each in list(self.children):
            await each.gone.wait()

    async def keep(self) -> None:
        """Whoever ends here is started again, until the place is given up."""
        pause = 0.0
        while not self._is_over:
            child = self.children[-1]
            await child.gone.wait()
            if self._is_over or child is not self.children[-1]:
                continue
            lasted = time.monotonic() - child.began
            if not child.is_expected:
                _log.error("%s (process %d) %s; it is started again", child.name, child.process.pid, _how(child))
                pause = 0.0 if lasted > _SOON else min(_LONGEST_PAUSE, max(_FIRST_PAUSE, pause * 2))
                await asyncio.sleep(pause)
            self.children[-1] = await self._spawn()
            self._changed.set()

    async def replace(self, *, first: Callable[[Child], None], then: Callable[[Child], None], patience: float) -> None:
        """Start another, and once it serves let the one before end. Raises as `Child.ready`; then that one stays."""
        before = self.children[-1]
        child = await self._spawn()
        first(child)
        try:
            await child.ready()
        except BaseException:
            child.kill()
            raise
        self.children.append(child)
        task = asyncio.create_task(self._let_go(before, then, patience))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def replace_in_place(self, how: Callable[[Child], None], *, patience: float) -> None:
        """Let the one here end, and once it has, start another. Raises as `Child.ready`."""
        before = self.children[-1]
        await before.end(how, patience=patience)
        while self.children[-1] is before:  # `keep` starts the next
            await self._changed.wait()
            self._changed.clear()
        await self.children[-1].ready()

    async def stop(self, how: Callable[[Child], None], *, patience: float) -> None:
        """Let whoever is here end, and give the place up."""
        self._is_over = True
        await asyncio.gather(*(each.end(how, patience=patience) for each in self.children))

    async def _let_go(self, child: Child, how: Callable[[Child], None], patience: float) -> None:
        await child.end(how, patience=patience)
        self.children.remove(child)


def _how(child: Child) -> str:
    code = child.process.returncode
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"
