"""Runs of pipelines: begin, carry on, cancel, and take up after a kill what had not ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio
from sqlalchemy import Connection

from tidemill.core.clock import Clock, Ids
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.flows.names import steps_in
from tidemill.jobs.engine import Jobs
from tidemill.jobs.presence import Presence, Watch
from tidemill.pipelines.going import GoingRun, Parts
from tidemill.pipelines.step import StepHandler
from tidemill.store import audit, registry
from tidemill.store import pipelines as rows
from tidemill.store.database import Database
from tidemill.store.pipelines import ENDED, PipelineRun, StepRow, Trigger
from tidemill.store.processes import cancelled_runs, orphaned_runs

_CANCEL_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5  # between two looks at a run that another process carries on
_log = logging.getLogger(__name__)
_RUNS = uuid.UUID("6f1d3c1e-6a55-5c0b-9a52-3f0a6b0a7c11")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why a run starts, and in whose name. The same `key` starts one run of a pipeline."""

    trigger: Trigger
    key: str
    who: str
    role: str


class Pipelines:
    """Carries runs on, each as a task of this process; a run that waits costs no thread and no place among the jobs.

    `handlers` maps a kind of step to what does it. On SQLite one process carries the runs: at its start it takes up all that
    had not ended. On PostgreSQL each run belongs to one of the processes of `presence`; when that dies, another takes it up.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        ids: Ids,
        handlers: Mapping[str, StepHandler],
        jobs: Jobs | None = None,
        presence: Presence | None = None,
    ) -> None:
        self._parts = Parts(database=database, clock=clock, handlers=handlers, jobs=jobs)
        self._database = database
        self._clock = clock
        self._ids = ids
        self._owner = ids.text() if presence is None else presence.id
        self._is_shared = presence is not None and presence.is_shared
        if presence is not None:
            presence.watch(Watch(find=orphaned_runs, take=self._take_up))
            presence.watch(Watch(find=lambda db: cancelled_runs(db, presence.id), take=self._stop_cancelled))
            presence.on_lost(self._interrupt_all)
        self._going: dict[str, GoingRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def carries(self, run_id: str) -> bool:
        """Whether the run goes on here now."""
        return run_id in self._going

    async def start(self) -> None:
        """Take up what an earlier process left; where others share the database, that is found at the first beat."""
        if self._is_shared:
            return
        for run in await self._database.read(rows.unfinished_runs):
            await self.carry_on(run)

    async def stop(self) -> None:
        """Interrupt every run; the next start goes on."""
        self._stopping = True
        self._interrupt_all()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _interrupt_all(self) -> None:
        for each in self._going.values():
            each.interrupted = True
            each.scope.cancel()

    async def _take_up(self, found: Sequence[str]) -> None:
        for run_id in found:
            run = await self._database.read(lambda db, run_id=run_id: rows.get_run(db, None, run_id))
            await self.carry_on(run)

    async def _stop_cancelled(self, found: Sequence[str]) -> None:
        for run_id in found:
            if run_id in self._going:
                self._going[run_id].scope.cancel()

    async def begin(
        self,
        project: str,
        pipeline: str,
        inputs: JsonObject,
        *,
        who: str,
        role: str = "developer",
        run_id: str | None = None,
    ) -> PipelineRun:
        """Start a run of a pipeline (`NAME`, or with a version); when this returns it will run to its end, over any kill.

        The same `run_id` again answers the same run, which is found under it and has an id of its own: what other projects call
        theirs does not show. Raises `NotFound`, and `Invalid` for inputs that it does not declare.
        """
        ref = parse_ref(pipeline, kind="pipeline")
        version = await self._database.read(lambda db: registry.get_version(db, project, ref))
        name = self._ids.text() if run_id is None else str(uuid.uuid5(_RUNS, f"{project}/{run_id}"))
        now_ns = self._clock.now_ns()
        cause = Cause(trigger="manual", key=run_id or name, who=who, role=role)
        run, _ = await self._database.write(
            lambda db: self.write_run(db, version, inputs, cause=cause, run_id=name, now_ns=now_ns)
        )
        await self.carry_on(run)
        return run

    def write_run(
        self,
        db: Connection,
        version: Version,
        inputs: JsonObject,
        *,
        cause: Cause,
        now_ns: int,
        run_id: str | None = None,
    ) -> tuple[PipelineRun, bool]:
        """The rows of a new run, in a transaction of the caller's; whether it is new. `carry_on` then sets it going."""
        steps = steps_in(version.spec.get("steps"))
        run = PipelineRun(
            id=run_id or self._ids.text(),
            project=version.project,
            pipeline=version.name,
            version=version.number,
            digest=version.digest,
            trigger_key=cause.key,
            trigger=cause.trigger,
            inputs=check_inputs(version, inputs),
            who=cause.who,
            role=cause.role,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        pending = [
            StepRow(run=run.id, step=str(each["id"]), position=number, project=run.project, kind=str(each["do"]))
            for number, each in enumerate(steps)
        ]
        made, is_new = rows.create_run(db, run, pending)
        if is_new:
            detail: JsonObject = {"run": run.id, "version": run.version, "digest": run.digest, "trigger": run.trigger}
            self._audit(db, run, "pipeline.run", who=run.who, detail=detail, now_ns=now_ns)
        return made, is_new

    async def carry_on(self, run: PipelineRun) -> bool:
        """Set a run going here, unless it goes here already, has ended, or another process was quicker."""
        if run.id in self._going or run.status in ENDED or self._stopping:
            return False
        now_ns = self._clock.now_ns()
        ref = parse_ref(f"pipeline/{run.pipeline}@v{run.version}")

        def work(db: Connection) -> Version | None:
            if not rows.claim_run(db, run, owner=self._owner, now_ns=now_ns):
                return None
            return registry.get_version(db, run.project, ref)

        version = await self._database.write(work)
        if version is None or run.id in self._going:
            return False
        going = GoingRun(replace(run, owner=self._owner, status="running"), version, parts=self._parts)
        self._going[run.id] = going
        if run.cancel_requested:
            going.scope.cancel()
        task = asyncio.create_task(self._drive(going), name=f"pipeline {run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def cancel(self, project: str, run_id: str, *, who: str = "") -> PipelineRun:
        """Stop a run: its steps, and the jobs that they wait for. What it finished stays. One that has ended stays as it is."""
        run = await self._database.read(lambda db: rows.get_run(db, project, run_id))
        if run.status in ENDED:
            return run
        now_ns = self._clock.now_ns()

        def note(db: Connection) -> None:
            rows.request_cancel(db, run.id, now_ns=now_ns)
            self._audit(db, run, "pipeline.cancel", who=who, detail={"run": run.id}, now_ns=now_ns)

        await self._database.write(note)
        going = self._going.get(run.id)
        if going is not None:
            going.scope.cancel()
            with anyio.move_on_after(_CANCEL_SECONDS):
                await going.ended.wait()
        elif self._is_shared and run.owner is not None:
            with contextlib.suppress(TimeoutError):  # whoever carries it on is about to see it, or takes it up cancelled
                await self.wait(run.id, timeout=_CANCEL_SECONDS)
        else:
            await self._database.write(lambda db: rows.end_run(db, run.id, status="cancelled", error=None, now_ns=now_ns))
        return await self._database.read(lambda db: rows.get_run(db, project, run.id))

    async def wait(self, run_id: str, *, timeout: float | None = None) -> PipelineRun:
        """The run once it has ended. Raises `TimeoutError`; the run goes on."""
        going = self._going.get(run_id)
        if going is not None:
            async with asyncio.timeout(timeout):
                await going.ended.wait()
        run = await self._database.read(lambda db: rows.get_run(db, None, run_id))
        if self._is_shared:
            async with asyncio.timeout(timeout):
                while run.status not in ENDED and not self._stopping:
                    await anyio.sleep(_LOOK_SECONDS)
                    run = await self._database.read(lambda db: rows.get_run(db, None, run_id))
        if run.status not in ENDED:
            raise Unavailable(f"run {run_id} does not go on here", hint="It goes on at the next start of the server.")
        return run

    def _audit(self, db: Connection, run: PipelineRun, action: str, *, who: str, detail: JsonObject, now_ns: int) -> None:
        target = f"pipeline/{run.pipeline}"
        audit.append(db, run.project, who=who, action=action, target=target, detail=detail, now_ns=now_ns)

    async def _drive(self, going: GoingRun) -> None:
        run = going.run
        try:
            with going.scope:
                error = await going.go()
                await self._end(run, status="failed" if error else "done", error=error)
            if going.scope.cancelled_caught and not going.interrupted:
                await self._end(run, status="cancelled", error=None)
        except Exception:  # noqa: BLE001  (a full disk, a broken database: the run stays as it is, and nothing is lost)
            _log.exception("pipeline run %s stopped; the next start goes on with it", run.id)
        finally:
            del self._going[run.id]
            going.ended.set()

    async def _end(self, run: PipelineRun, *, status: rows.RunStatus, error: str | None) -> None:
        now_ns = self._clock.now_ns()
        with anyio.CancelScope(shield=True):
            await self._database.write(lambda db: rows.end_run(db, run.id, status=status, error=error, now_ns=now_ns))


def check_inputs(version: Version, given: JsonObject) -> dict[str, Json]:
    """The inputs of a run: what was given, and the defaults of the rest. Raises `Invalid`, naming every one that is wrong."""
    declared = version.spec.get("inputs")
    known: Mapping[str, Json] = declared if isinstance(declared, Mapping) else {}
    for name in given:
        if name not in known:
            raise Invalid(f"{version.bare} has no input {name!r}", hint=did_you_mean(name, known) if known else "It has none.")
    filled = {**known, **given}
    missing = [name for name, value in filled.items() if value is None]
    if missing:
        raise Invalid(f"{version.bare} needs {', '.join(missing)}", hint=f"Give it: --input {missing[0]}=…")
    return filled


def unfinished(db: Connection, project: str, pipeline: str) -> PipelineRun | None:
    """A run of this pipeline that has not ended."""
    found = rows.unfinished_runs(db, project=project, pipeline=pipeline)
    return found[0] if found else None
