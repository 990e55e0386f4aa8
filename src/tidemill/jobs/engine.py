"""Jobs: submit, follow, cancel, and resume after a kill.

A job is acknowledged when its row is written. The driver (`durable.py`) starts it again after a kill until it ends; the row in
the metadata database says what became of it. Handlers run on the server's event loop. On a database that several processes
share, the row also says whose it is: when its process dies, another takes it up (`presence.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from sqlalchemy import Connection

from tidemill.core.clock import Clock, Ids
from tidemill.core.errors import Conflict, Invalid, NotFound, RateLimited, TidemillError, Unavailable
from tidemill.core.extend import JobHandler
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Job, JobStatus
from tidemill.core.suggest import did_you_mean
from tidemill.jobs.durable import MAX_STARTS, Durable, Interrupted
from tidemill.jobs.presence import Presence, Watch
from tidemill.jobs.running import RunningJob
from tidemill.store import audit
from tidemill.store import jobs as rows
from tidemill.store.database import Database
from tidemill.store.jobs import cancelled_jobs
from tidemill.store.page import Page
from tidemill.store.processes import claim_job, open_jobs

FINISHED: Final = rows.FINISHED
_MOST_WAITING: Final = 10_000
_STOP_SECONDS: Final = 10.0
_CANCEL_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5  # between two looks at a job that another process does
_NEVER_LIVED: Final = "it was started many times and the server never lived to its end"
_log = logging.getLogger(__name__)


class Jobs:
    """Runs long work, at most `concurrency` new jobs at a time, the oldest first.

    `handlers` maps a job's kind to what does it. `jobs_db` is the driver's own file, or the URL of the PostgreSQL database that
    `presence` shares with other processes; it begins and ends with the jobs.
    """

    def __init__(
        self,
        *,
        database: Database,
        jobs_db: Path | str,
        handlers: Mapping[str, JobHandler],
        clock: Clock,
        ids: Ids,
        concurrency: int = 4,
        presence: Presence | None = None,
    ) -> None:
        self._database = database
        self._presence = presence
        self._owner = presence.id if presence is not None and presence.is_shared else None
        self._durable = Durable(jobs_db, self._run_in_thread, **({} if self._owner is None else {"executor": self._owner}))
        if presence is not None:
            presence.watch(Watch(find=lambda db: open_jobs(db, presence.id), take=self._take_up))
            presence.watch(Watch(find=lambda db: cancelled_jobs(db, presence.id), take=self._stop_cancelled))
            presence.on_lost(self._interrupt_all)
        self._handlers = handlers
        self._clock = clock
        self._ids = ids
        self._concurrency = concurrency
        self._waiting: deque[str] = deque()
        self._handed: set[str] = set()
        self._running: dict[str, RunningJob] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancelled: set[str] = set()
        self._broken: TidemillError | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin, and resume in the background what a kill cut off. Without any such job, nothing is imported."""
        self._loop = asyncio.get_running_loop()
        if self._presence is not None:
            await self._presence.start()
        if self._owner is None and await self._database.read(rows.unfinished_jobs):
            self._dispatch()

    async def stop(self) -> None:
        """Interrupt what runs, which the next start resumes, and let go of the driver's file."""
        self._stopping = True
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
        self._interrupt_all()
        with anyio.move_on_after(_STOP_SECONDS):
            while self._running:
                await next(iter(self._running.values())).ended.wait()
        await anyio.to_thread.run_sync(self._durable.close)
        if self._presence is not None:
            await self._presence.stop()
        for event in self._changed.values():
            event.set()

    async def submit(
        self, kind: str, payload: JsonObject, *, project: str, job_id: str | None = None, by: str | None = None
    ) -> Job:
        """Hand in a job; when this returns it will be done, over any kill. The same `job_id` again answers the same job.

        With `by`, who asked for it, the audit has a line.

        Raises `Invalid` for an unknown kind, `Conflict` when `job_id` names another job, `RateLimited` when too many wait.
        """
        if kind not in self._handlers:
            raise Invalid(f"{kind!r} is not a kind of job", hint=did_you_mean(kind, self._handlers))
        if self._loop is None or self._stopping:
            raise Unavailable("jobs are not taken: the server is stopping or has not started", hint="Try again in a moment.")
        if self._broken is not None:
            raise self._broken
        if len(self._waiting) >= _MOST_WAITING:
            raise RateLimited(f"{_MOST_WAITING} jobs are waiting already", hint="Try again later.", retry_after=30)
        now = self._clock.now_ns()
        wanted = Job(
            id=job_id or self._ids.text(),
            project=project,
            kind=kind,
            status="queued",
            payload=payload,
            created_ns=now,
            updated_ns=now,
        )
        job, created = await self._database.write(lambda db: _keep(db, wanted, owner=self._owner, by=by))
        if (job.project, job.kind, job.payload) != (project, kind, payload):
            raise Conflict(f"job {job.id!r} exists and is another {job.kind} job", hint="Use a new id.")
        if created:
            self.adopt(job)
        return job

    def adopt(self, job: Job) -> None:
        """Take up a job whose row was written, by `store.jobs.create_job`, in a transaction of the caller's own."""
        if job.id not in self._waiting and job.id not in self._handed:
            self._waiting.append(job.id)
            self._dispatch()

    async def get(self, job_id: str) -> Job:
        """A job as it stands now. Raises `NotFound`."""
        running = self._running.get(job_id)
        if running is not None:
            return running.job
        return await self._database.read(lambda db: rows.get_job(db, None, job_id))

    async def list(self, project: str, *, kind: str | None = None, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """A page of a project's jobs, the newest first; of one kind, or of all."""
        page = await self._database.read(lambda db: rows.list_jobs(db, project, kind=kind, limit=limit, cursor=cursor))
        return replace(
            page, items=tuple(self._running[each.id].job if each.id in self._running else each for each in page.items)
        )

    async def cancel(self, job_id: str, *, by: str | None = None) -> Job:
        """Ask a job to stop; what it finished stays. A job that has ended is left as it is. With `by` the audit has a line."""
        job = await self.get(job_id)
        if job.status in FINISHED:
            return job

        now = self._clock.now_ns()
        self._cancelled.add(job_id)  # for one that is about to run
        await self._database.write(lambda db: _cancel(db, job, by=by, now_ns=now))
        running = self._running.get(job_id)
        if running is not None:
            running.cancel()
            with anyio.move_on_after(_CANCEL_SECONDS):
                await running.ended.wait()
        elif self._owner is not None and job.status == "running":
            with contextlib.suppress(TimeoutError):  # the process that does it is about to see it
                await self.wait(job_id, timeout=_CANCEL_SECONDS)
        self._announce(job_id)
        return await self.get(job_id)

    async def _take_up(self, found: Sequence[str]) -> None:
        """Jobs that are nobody's, of processes that died or stopped; and own ones that a broken database cut off."""
        new = [each for each in found if each not in self._waiting and each not in self._handed]
        if new and not self._stopping and self._broken is None:
            self._waiting.extend(new[: _MOST_WAITING - len(self._waiting)])
            self._dispatch()

    async def _stop_cancelled(self, found: Sequence[str]) -> None:
        """Jobs of this process that were cancelled at another."""
        for job_id in found:
            running = self._running.get(job_id)
            if running is not None:
                running.cancel()

    def _interrupt_all(self) -> None:
        for each in self._running.values():
            each.interrupt()

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended. Raises `TimeoutError` after `timeout` seconds; the job goes on."""
        async with asyncio.timeout(timeout):
            async for job in self.events(job_id):
                if job.status in FINISHED:
                    return job
        raise Unavailable(f"job {job_id!r} was interrupted: the server is stopping", hint="It resumes at the next start.")

    async def events(self, job_id: str) -> AsyncIterator[Job]:
        """The job as it stands, then again after every change, until it has ended. A slow reader sees the newest only."""
        last: Job | None = None
        while True:
            changed = self._changed.setdefault(job_id, asyncio.Event())
            try:
                job = await self.get(job_id)
            except NotFound:
                self._changed.pop(job_id, None)
                raise
            if job != last:
                yield job
                last = job
            if job.status in FINISHED or self._stopping:
                if self._changed.get(job_id) is changed:
                    del self._changed[job_id]
                return
            if self._owner is not None and job_id not in self._running:
                with anyio.move_on_after(_LOOK_SECONDS):  # it may go on in another process
                    await changed.wait()
            else:
                await changed.wait()

    def _dispatch(self) -> None:
        self._wake.set()
        if self._dispatcher is None:
            self._dispatcher = asyncio.create_task(self._hand_out(), name="jobs")

    async def _hand_out(self) -> None:
        """Start the driver, settle what an earlier process left, then hand it one waiting job after another."""
        try:
            await anyio.to_thread.run_sync(self._durable.launch)
            if self._owner is None:
                await self._settle()
            while True:
                while self._waiting and len(self._handed) < self._concurrency:
                    job_id = self._waiting.popleft()
                    self._handed.add(job_id)
                    await self._begin(job_id)
                self._wake.clear()
                await self._wake.wait()
        except TidemillError as error:
            _log.error("jobs cannot run: %s", error)
            self._broken = error
            for job_id in (*self._waiting, *self._handed):
                await self._finish(job_id, status="failed", error=str(error))

    async def _begin(self, job_id: str) -> None:
        """Hand a job to the driver, unless another process was quicker."""
        owner, number = self._owner, None
        if owner is not None:
            now_ns = self._clock.now_ns()
            number = await self._database.write(lambda db: claim_job(db, job_id, owner=owner, now_ns=now_ns))
            if number is None:
                self._handed.discard(job_id)
                return
            if number > MAX_STARTS:
                await self._finish(job_id, status="failed", error=_NEVER_LIVED)
                self._handed.discard(job_id)
                return
        await anyio.to_thread.run_sync(partial(self._durable.start, job_id, number=number))

    async def _settle(self) -> None:
        """Queue the jobs that the driver does not know, and close those that it will not start again."""
        known = {*self._waiting, *self._running}
        for job in await self._database.read(rows.unfinished_jobs):
            if job.id in known:
                continue
            standing = await anyio.to_thread.run_sync(self._durable.standing, job.id)
            if standing == "unknown":
                self._waiting.append(job.id)
            elif standing == "closed":
                await self._finish(job.id, status="failed", error=_NEVER_LIVED)

    def _run_in_thread(self, job_id: str) -> None:
        """Called by the driver, in its thread, for each start of a job. Returns when the job has ended."""
        if self._stopping or self._loop is None:
            raise Interrupted
        try:
            ended = asyncio.run_coroutine_threadsafe(self._perform(job_id), self._loop).result()
        except CancelledError:
            ended = False
        except Exception:  # noqa: BLE001  (a driver that saw it would close the job for good; left open, it resumes)
            _log.exception("job %s could not be noted; it stays open and resumes at the next start", job_id)
            ended = False
        if not ended and self._owner is None:
            raise Interrupted  # with an owner the row says that it is open, and the driver need not

    async def _perform(self, job_id: str) -> bool:
        """Do a job; False when it was interrupted and is to be resumed."""
        try:
            while job_id in self._running:
                await self._running[job_id].ended.wait()
                if self._owner is None or self._stopping:
                    return not self._stopping
            job, is_cancelled = await self._database.read(
                lambda db: (rows.get_job(db, None, job_id), rows.is_cancel_requested(db, job_id))
            )
            if job.status in FINISHED:
                return True
            if is_cancelled:
                await self._finish(job_id, status="cancelled")
                return True
            return await self._handle(job)
        finally:
            self._handed.discard(job_id)
            self._cancelled.discard(job_id)
            self._wake.set()

    async def _handle(self, job: Job) -> bool:
        handler = self._handlers.get(job.kind)
        if handler is None:
            await self._finish(job.id, status="failed", error=f"this version does not know jobs of kind {job.kind!r}")
            return True
        started = replace(job, status="running", updated_ns=self._clock.now_ns())
        running = RunningJob(started, database=self._database, clock=self._clock, changed=self._announce, owner=self._owner)
        self._running[job.id] = running
        if job.id in self._cancelled:
            running.cancel()
        try:
            await running.save()
            outcome = await self._outcome(handler, running)
            await running.close()
            if outcome is None:
                await running.save()
                return False
            await running.save()
            await self._finish(job.id, status=outcome.status, error=outcome.error, result=outcome.result)
        finally:
            del self._running[job.id]
            running.ended.set()
            self._announce(job.id)
        return True

    async def _outcome(self, handler: JobHandler, running: RunningJob) -> Job | None:
        """The job as it ended; None when the server stopped it."""
        result: Json = None
        try:
            with running.scope:
                result = await handler(running.job.payload, running)
        except TidemillError as error:
            hint = f"  {error.hint}" if error.hint else ""
            return replace(running.job, status="failed", error=f"{error}{hint}")
        except Exception as error:  # noqa: BLE001  (the edge of a handler's code: whatever it raises is the job's outcome)
            _log.exception("job %s (%s) failed", running.job_id, running.job.kind, exc_info=error)
            return replace(running.job, status="failed", error=f"{type(error).__name__}: {error}")
        if not running.scope.cancelled_caught:
            return replace(running.job, status="done", result=result)
        return None if running.interrupted else replace(running.job, status="cancelled")

    async def _finish(self, job_id: str, *, status: JobStatus, error: str | None = None, result: Json = None) -> None:
        now, said = self._clock.now_ns(), None if error is None else error.replace("\0", "\ufffd")
        with contextlib.suppress(Conflict):  # it is another process's by now, which does it again and says how it ended
            await self._database.write(
                lambda db: rows.update_job(db, job_id, now_ns=now, status=status, error=said, result=result, owner=self._owner)
            )
        self._announce(job_id)

    def _announce(self, job_id: str) -> None:
        changed = self._changed.pop(job_id, None)
        if changed is not None:
            changed.set()


def _keep(db: Connection, wanted: Job, *, owner: str | None, by: str | None) -> tuple[Job, bool]:
    job, created = rows.create_job(db, wanted, owner=owner)
    if created and by is not None:
        _note(db, job, "job.started", by=by, now_ns=job.created_ns)
    return job, created


def _cancel(db: Connection, job: Job, *, by: str | None, now_ns: int) -> None:
    rows.request_cancel(db, job.project, job.id, now_ns=now_ns)
    if by is not None:
        _note(db, job, "job.cancelled", by=by, now_ns=now_ns)


def _note(db: Connection, job: Job, action: str, *, by: str, now_ns: int) -> None:
    audit.append(db, job.project, who=by, action=action, target=f"job/{job.id}", detail={"kind": job.kind}, now_ns=now_ns)
