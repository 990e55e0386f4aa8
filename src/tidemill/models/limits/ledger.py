"""What was used, on its way into the database: counted at once in memory, written within half a second.

What is lost when the process is killed is what was settled in the last half second, and what was under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from tidemill.core.errors import TidemillError
from tidemill.store.database import Database
from tidemill.store.usage import Used, add_usage, usage_of

FLUSHED_EVERY: Final = 0.5
"""Seconds between two writes, while anything was used."""
_Key = tuple[str, str, int]
_log = logging.getLogger(__name__)


class Ledger:
    """Belongs to one event loop."""

    def __init__(self, database: Database, *, every: float = FLUSHED_EVERY) -> None:
        self._database = database
        self._every = every
        self._pending: dict[_Key, Used] = {}
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._is_stopped = False

    def note(self, project: str, subjects: Iterable[str], day: int, used: Used) -> None:
        """Count what was used under each of the subjects."""
        for subject in subjects:
            pending = self._pending.get((project, subject, day))
            if pending is None:
                pending = self._pending[(project, subject, day)] = Used()
            pending.add(used)
        if self._timer is None and not self._is_stopped:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._begin)

    async def flush(self) -> None:
        """Write what is counted. What cannot be written stays counted; raises what the database raises."""
        async with self._writing:
            taken, self._pending = self._pending, {}
            if not taken:
                return
            try:
                await self._database.tally(lambda db: add_usage(db, taken))
            except BaseException:
                for key, used in taken.items():
                    self._pending.setdefault(key, Used()).add(used)
                raise

    async def used(self, project: str, subjects: Sequence[str], *, since: int, until: int) -> dict[str, Used]:
        """What each subject used from one day to another, both counted, written or not."""
        async with self._writing:
            found = await self._database.read(lambda db: usage_of(db, project, subjects, since=since, until=until))
            for (whose, subject, day), pending in self._pending.items():
                if whose == project and subject in subjects and since <= day <= until:
                    found.setdefault(subject, Used()).add(pending)
        return found

    async def stop(self) -> None:
        """Write all of it."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is not None:
            await asyncio.gather(self._flushing, return_exceptions=True)
        try:
            await self.flush()
        except TidemillError as error:
            _log.warning("what was used could not be written: %s", error)

    def _begin(self) -> None:
        self._timer = None
        self._flushing = asyncio.ensure_future(self._flush_quietly())

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except TidemillError as error:
            _log.warning("what was used could not be written yet: %s", error)
        if self._pending and self._timer is None and not self._is_stopped:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._begin)
