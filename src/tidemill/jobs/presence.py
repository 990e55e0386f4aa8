"""One of several processes on a database: it says that it is alive, and looks after what the dead left behind.

A thread of its own does so every second, whatever the event loop is busy with. On SQLite, whose folder has one holder, there
is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from tidemill.core.errors import TidemillError
from tidemill.store import processes as rows
from tidemill.store.database import Database
from tidemill.store.disk import disk_errors, write_whole
from tidemill.store.processes import Process

LEASE_SECONDS: Final = 8.0
"""For so long a process may be silent before another does its work."""
_BEAT_SECONDS: Final = 1.0
_MARK: Final = ".folder-id"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Something to look for at every beat: `find` reads, `take` gets what was found, on the event loop."""

    find: Callable[[Connection], Sequence[str]]
    take: Callable[[Sequence[str]], Awaitable[None]]


class Presence:
    """A process among those that share a database. `id` owns what it does; `is_shared` says whether there can be others."""

    def __init__(self, database: Database, *, id: str, blobs: Path, lease: float = LEASE_SECONDS) -> None:  # noqa: A002
        self.id = id
        self.is_shared = database.is_shared
        self._database = database
        self._blobs = blobs
        self._lease_ns = round(lease * 1e9)
        self._watches: list[Watch] = []
        self._lost: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, watch: Watch) -> None:
        """Look for something more at every beat."""
        self._watches.append(watch)

    def on_lost(self, call: Callable[[], None]) -> None:
        """Do this, on the event loop, when others took this process for dead: what it was doing is theirs."""
        self._lost.append(call)

    async def start(self) -> None:
        """Join. Raises `Conflict` when the others keep blobs in another folder than this process."""
        if not self.is_shared:
            return
        await self._database.write(self._register)
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._beat, args=(loop,), name="tidemill-presence", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Leave: what this process was doing is taken up by the others at once."""
        if self._thread is None:
            return
        self._stop.set()
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        with contextlib.suppress(TidemillError):  # a database that is gone forgets this process by itself
            await self._database.write(lambda db: rows.leave(db, self.id))

    def _register(self, db: Connection) -> None:
        rows.bury(db, lease_ns=self._lease_ns)
        mark = identify_folder(self._blobs)
        rows.register(db, Process(id=self.id, host=socket.gethostname(), pid=os.getpid(), blobs=mark))

    def _return(self, db: Connection) -> None:
        rows.release(db, self.id)
        self._register(db)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                self._once(loop)
            except TidemillError as error:
                _log.warning("the database was not told that this process is alive: %s", error)
            if self._stop.wait(_BEAT_SECONDS):
                return

    def _once(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._database.write_sync(lambda db: rows.beat(db, self.id)):
            _log.warning("this process was taken for dead; it lets go of what it was doing")
            for call in self._lost:
                loop.call_soon_threadsafe(call)
            self._database.write_sync(self._return)
        if self._database.read_sync(lambda db: rows.has_silent(db, lease_ns=self._lease_ns)):
            self._database.write_sync(lambda db: rows.bury(db, lease_ns=self._lease_ns))
        found = self._database.read_sync(lambda db: [(each, tuple(each.find(db))) for each in self._watches])
        for each, ids in found:
            if ids and not self._stop.is_set():
                asyncio.run_coroutine_threadsafe(_guarded(each, ids), loop)


async def _guarded(watch: Watch, ids: Sequence[str]) -> None:
    try:
        await watch.take(ids)
    except TidemillError as error:
        _log.warning("what another process left could not be taken up: %s", error)


def identify_folder(folder: Path) -> str:
    """What tells this folder from every other, for processes that must share one: a random name that is kept in it."""
    mark = folder / _MARK
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            made = folder / f"{_MARK}-{secrets.token_hex(8)}"
            write_whole(made, secrets.token_hex(16).encode() + b"\n")
            with contextlib.suppress(FileExistsError):  # of several that start at once, the first one's stays
                os.link(made, mark)
            made.unlink()
        return mark.read_text("ascii").strip()
