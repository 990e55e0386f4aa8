"""A job that runs: what its handler is given, and how it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from tidemill.core.clock import Clock
from tidemill.core.errors import Conflict
from tidemill.core.records import Job, Progress
from tidemill.store import jobs as rows
from tidemill.store.database import Database

_SAVE_EVERY: Final = 0.5  # seconds between two writes of progress to the database; readers here see every report


class RunningJob:
    """The `JobContext` of one job. `job` is its newest state; `ended` is set when its outcome has been stored."""

    def __init__(
        self, job: Job, *, database: Database, clock: Clock, changed: Callable[[str], None], owner: str | None = None
    ) -> None:
        self.job = job
        self.job_id = job.id
        self.project = job.project
        self.scope = anyio.CancelScope()
        self.interrupted = False
        self.ended = asyncio.Event()
        self._database = database
        self._clock = clock
        self._changed = changed
        self._owner = owner
        self._later: asyncio.Task[None] | None = None
        self._saved = clock.monotonic()

    async def report(self, progress: Progress) -> None:
        """Store and show progress; the handler is cancelled here when the job was."""
        self.job = replace(self.job, progress=progress, updated_ns=self._clock.now_ns())
        self._changed(self.job_id)
        if self._clock.monotonic() - self._saved >= _SAVE_EVERY:
            await self.save()
        elif self._owner is not None and self._later is None:
            self._later = asyncio.create_task(self._save_later(), name=f"progress of {self.job_id}")
        await checkpoint()

    async def save(self) -> None:
        """Write the newest state to the database. A job that is another process's by now stops here."""
        self._saved = self._clock.monotonic()
        job, owner = self.job, self._owner
        try:
            await self._database.write(
                lambda db: rows.update_job(
                    db, job.id, now_ns=job.updated_ns, status="running", progress=job.progress, owner=owner
                )
            )
        except Conflict:
            self.interrupt()

    async def _save_later(self) -> None:
        """Readers in other processes see the last report, too, when none follows it soon."""
        await anyio.sleep(_SAVE_EVERY)
        self._later = None
        await self.save()

    async def close(self) -> None:
        """The handler has ended: what is left to be saved is the outcome."""
        if self._later is not None:
            self._later.cancel()
            await asyncio.gather(self._later, return_exceptions=True)

    def cancel(self) -> None:
        """Stop for good."""
        self.scope.cancel()

    def interrupt(self) -> None:
        """Stop, to be resumed by the next start of the server."""
        self.interrupted = True
        self.scope.cancel()
