"""Projecting the spools of other processes: found as they come, a projector each, removed once their writers have ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread

from tidemill.core.errors import TidemillError
from tidemill.telemetry.spool.handed import HandedSpool, handed_folders, remove_unfinished
from tidemill.telemetry.spool.projector import Projector
from tidemill.telemetry.spool.segments import Position, bytes_after

_LOOK_SECONDS: Final = 0.25
_log = logging.getLogger("tidemill.telemetry")


@dataclass(slots=True)
class _Reader:
    spool: HandedSpool
    projector: Projector
    task: asyncio.Task[None]
    following: asyncio.Task[None]


class AllMoves:
    """Says when there is more in the store, whichever spool it came from: each move counts one."""

    def __init__(self) -> None:
        self.position = Position()
        self._moved = asyncio.Condition()

    async def beyond(self, position: Position) -> Position:
        """Return when there was a move since `position`."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.position > position)
            return self.position

    async def follow(self, projector: Projector) -> None:
        """Count a projector's moves, until cancelled."""
        position: Position = projector.position
        while True:
            position = await projector.beyond(position)
            async with self._moved:
                self.position = Position(self.position.segment + 1, 0)
                self._moved.notify_all()


class Gathering:
    """Belongs to one event loop. `project` makes the projector of a spool; `on_more` is called when one has more to store."""

    def __init__(
        self, spool: Path, *, project: Callable[[HandedSpool], Projector], on_more: Callable[[], None], is_lasting: bool
    ) -> None:
        """`is_lasting`: others write now, and more may come; else only what earlier processes left is looked for."""
        self.rejected = 0
        self.moves = AllMoves()
        self._folder = spool
        self._project = project
        self._on_more = on_more
        self._is_lasting = is_lasting
        self._readers: dict[Path, _Reader] = {}
        self._damaged: dict[str, int] = {}
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, where there is anything to do."""
        await anyio.to_thread.run_sync(remove_unfinished, self._folder)
        await self.look()
        if self._readers or self._is_lasting:
            self._task = asyncio.create_task(self._run(), name="other processes' spools")

    async def stop(self) -> None:
        """Stop; what is not projected is, after the next start."""
        tasks = [task for each in self._readers.values() for task in (each.task, each.following)]
        if self._task is not None:
            tasks.append(self._task)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in self._readers.values():
            each.spool.close()
        self._readers.clear()
        self._task = None

    async def look(self) -> None:
        """See what came, from whom, and who has ended."""
        async with self._looking:
            folders = await anyio.to_thread.run_sync(handed_folders, self._folder)
            for folder in folders:
                if folder not in self._readers:
                    self._begin(folder)
            readers = list(self._readers.values())
            await anyio.to_thread.run_sync(lambda: [each.spool.look() for each in readers])
            for each in readers:
                if each.projector.position < each.spool.durable:
                    each.projector.wake()
                    self._on_more()
                elif each.spool.is_over:
                    await self._end(each)

    async def reach(self, *, timeout: float) -> None:
        """Return when everything that is safe on disk now can be queried. Raises as `Projector.reach`."""
        await self.look()
        wanted = [(each.projector, each.spool.durable) for each in self._readers.values()]
        for projector, durable in wanted:
            await projector.reach(durable, timeout=timeout)

    @property
    def is_busy(self) -> bool:
        """Whether others write, or wrote what is not in the store yet."""
        return self._is_lasting or bool(self._readers)

    @property
    def problem(self) -> TidemillError | None:
        """What keeps their spans from the store at the moment."""
        return next((each.projector.problem for each in self._readers.values() if each.projector.problem), None)

    @property
    def all_rejected(self) -> int:
        """Rows of theirs since the start that the store could not read."""
        return self.rejected + sum(each.projector.rejected for each in self._readers.values())

    @property
    def damaged(self) -> Mapping[str, int]:
        """Bytes that could not be read, by segment."""
        found = dict(self._damaged)
        for each in self._readers.values():
            found |= each.projector.damaged
        return found

    def waiting(self) -> list[tuple[int, float | None]]:
        """Of each, how many bytes wait and since when. Looks at the files; from any thread."""
        return [bytes_after(each.spool.folder, each.projector.position) for each in list(self._readers.values())]

    def _begin(self, folder: Path) -> None:
        spool = HandedSpool(folder)
        projector = self._project(spool)
        task = asyncio.create_task(projector.run(), name=f"span projector of {folder.name}")
        self._readers[folder] = _Reader(spool, projector, task, asyncio.create_task(self.moves.follow(projector)))

    async def _end(self, reader: _Reader) -> None:
        """Its writer has ended and everything of it is in the store."""
        del self._readers[reader.spool.folder]
        for task in (reader.task, reader.following):
            task.cancel()
        await asyncio.gather(reader.task, reader.following, return_exceptions=True)
        self.rejected += reader.projector.rejected
        self._damaged |= reader.projector.damaged
        await anyio.to_thread.run_sync(reader.spool.remove)

    async def _run(self) -> None:
        while self._is_lasting or self._readers:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                with contextlib.suppress(OSError):
                    await self.look()
            except Exception:  # noqa: BLE001  (without this task nothing of the others would be stored any more)
                _log.exception("the spools of other processes could not be looked at")
