"""One run on its way: each step begins when what it needs has ended, side by side where nothing forbids it.

What a step gave is written before anything that needs it begins, so a kill at any moment costs at most the steps that were
running; they begin again with the same id.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.conditions import Condition
from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.flows.names import steps_in
from tidemill.jobs.engine import Jobs
from tidemill.pipelines.arguments import fill, has_references, resolved
from tidemill.pipelines.forms import FORMS
from tidemill.pipelines.step import NotPassed, StepContext, StepHandler
from tidemill.store import pipelines as rows
from tidemill.store.database import Database
from tidemill.store.pipelines import STEP_ENDED, PipelineRun, StepRow
from tidemill.store.projects import archived, is_archived

_FLUSH_SECONDS: Final = 0.25
_LONGEST_LINE: Final = 4000
_MOST_PROBLEMS: Final = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What every run stands on."""

    database: Database
    clock: Clock
    handlers: Mapping[str, StepHandler]
    jobs: Jobs | None = None


class GoingRun:
    """A run that this process carries on. `interrupted`: the server stops, the next start goes on from here."""

    def __init__(self, run: PipelineRun, version: Version, *, parts: Parts) -> None:
        self.run = run
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()
        self.interrupted = False
        self._version = version
        self._parts = parts
        self._steps = {str(each["id"]): each for each in steps_in(version.spec.get("steps"))}
        self._rows: dict[str, StepRow] = {}
        self._finished = {name: anyio.Event() for name in self._steps}
        self._lines: deque[tuple[str, int, str]] = deque()
        self._context: dict[str, Json] = {
            "id": run.id,
            "trigger": run.trigger,
            "pipeline": run.pipeline,
            "version": run.version,
        }

    async def go(self) -> str | None:
        """Run what has not ended; why the run failed, or None. Cancel `scope` to stop it."""
        found = await self._parts.database.read(lambda db: rows.get_steps(db, self.run.id))
        self._rows = {each.step: each for each in found}
        async with anyio.create_task_group() as flushing:
            flushing.start_soon(self._flush_often)
            try:
                async with anyio.create_task_group() as group:
                    for name, step in self._steps.items():
                        group.start_soon(self._follow, name, step)
            finally:
                flushing.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self.flush()
        bad = [each for each in self._rows.values() if each.status == "failed"]
        return "; ".join(f"step {each.step}: {each.error}" for each in bad) or None

    async def flush(self) -> None:
        """Write the lines that wait."""
        if self._lines:
            lines = self._take_lines()
            await self._parts.database.write(lambda db: rows.add_lines(db, self.run.id, lines))

    async def _flush_often(self) -> None:
        while True:
            await anyio.sleep(_FLUSH_SECONDS)
            await self.flush()

    async def _follow(self, name: str, step: JsonObject) -> None:
        needs = _needs(step)
        for each in needs:
            await self._finished[each].wait()
        if self._rows[name].status not in STEP_ENDED:
            await self._perform(name, step, needs)
        self._finished[name].set()

    async def _perform(self, name: str, step: JsonObject, needs: list[str]) -> None:
        before = [self._rows[each] for each in needs]
        stopped = next((each for each in before if each.status in {"failed", "blocked", "cancelled"}), None)
        if stopped is not None:
            why = "failed" if stopped.status == "failed" else f"was {stopped.status}"
            await self._end(name, status="blocked", note=f"it needs {stopped.step}, which {why}")
            return
        skipped = next((each for each in before if each.status == "skipped"), None)
        if skipped is not None:
            await self._end(name, status="skipped", note=f"it needs {skipped.step}, which was skipped")
            return
        try:
            await self._check_kept_open()
            if not self._holds(step):
                await self._end(name, status="skipped", note=f"not so: {step['when']}")
                return
            filled = fill(step, self._values(), pipeline=self._version)
            args = filled
            if has_references(step, filled):
                args = await self._parts.database.read(lambda db: resolved(db, self.run.project, step, filled))
            key = step_key(step, args)
        except TidemillError as error:
            await self._fail(name, error)
            return
        await self._attempts(name, step, args, key)

    async def _check_kept_open(self) -> None:
        """Raise `Conflict` when the project was archived since the run began."""
        project = self.run.project
        if await self._parts.database.remember(("archived", project), lambda db: is_archived(db, project)):
            raise archived(project)

    def _holds(self, step: JsonObject) -> bool:
        if "when" not in step:
            return True
        outputs = {each.step: each.output for each in self._rows.values() if each.status == "done"}
        return Condition(str(step["when"])).holds({"steps": outputs, "inputs": self.run.inputs, "run": self._context})

    def _values(self) -> dict[str, Json]:
        outputs = {each.step: each.output for each in self._rows.values() if each.status == "done"}
        return {**self.run.inputs, **outputs, "run": self._context}

    async def _attempts(self, name: str, step: JsonObject, args: JsonObject, key: str | None) -> None:
        retry = step.get("retry")
        attempts, backoff = 1, 0.0
        if isinstance(retry, Mapping):
            attempts, backoff = int(str(retry["attempts"])), float(str(retry["backoff"]))
        row = self._rows[name]
        attempt = max(1, row.attempt)
        while True:
            if await self._begin(name, args, key, attempt):
                return
            try:
                await self._run_once(name, step, args, attempt)
            except TidemillError as error:
                if attempt >= attempts or isinstance(error, NotPassed | Invalid):
                    await self._fail(name, error)
                    return
                seconds = backoff * 2 ** (attempt - 1)
                self._say(name, f"attempt {attempt} of {attempts} failed: {error}")
                await self._note(name, f"again in {seconds:g} s after: {error}")
                await anyio.sleep(seconds)
                attempt += 1
            else:
                return

    async def _begin(self, name: str, args: JsonObject, key: str | None, attempt: int) -> bool:
        """Note that an attempt begins; True when an earlier output was used instead."""
        now_ns = self._parts.clock.now_ns()
        row = self._rows[name]
        goes_on = row.attempt == attempt and row.started_ns is not None
        started_ns = row.started_ns if goes_on else now_ns
        may_reuse = key is not None and not goes_on

        def work(db: Connection) -> StepRow:
            found = rows.find_cached(db, self.run.project, str(key)) if may_reuse else None
            values: dict[str, Any] = {"key": key, "inputs": args, "started_ns": started_ns, "attempt": attempt}
            if found is not None:
                values |= {"status": "done", "output": found.output, "output_digest": found.output_digest}
                values |= {"cached_from": found.run, "ended_ns": now_ns, "attempt": 0}
            else:
                values |= {"status": "running", "note": ""}
            rows.update_step(db, self.run.id, name, **values)
            return replace(row, **values)

        self._rows[name] = row = await self._parts.database.write(work)
        if goes_on:
            self._say(name, "goes on after the server was stopped")
        elif row.cached_from is not None:
            self._say(name, f"used again what run {row.cached_from} gave")
        return row.cached_from is not None

    async def _run_once(self, name: str, step: JsonObject, args: JsonObject, attempt: int) -> None:
        kind = str(step["do"])
        handler = self._parts.handlers.get(kind)
        if handler is None:
            raise Unavailable(f"this version cannot do {kind} steps", hint="Upgrade, or take the step out.")
        timeout = step.get("timeout")
        started_ns = self._rows[name].started_ns or self._parts.clock.now_ns()
        left = None
        if isinstance(timeout, int | float):
            left = max(0.0, timeout - (self._parts.clock.now_ns() - started_ns) / 1e9)
        context = StepContext(
            project=self.run.project,
            pipeline=self.run.pipeline,
            run=self.run.id,
            step=name,
            attempt=attempt,
            who=self.run.who,
            role=self.run.role,
            started_ns=started_ns,
            code=step.get("code"),
            log=lambda text: self._say(name, text),
            set_note=lambda note: self._note(name, note, status="waiting" if note else "running"),
            is_cancelled=lambda: self.scope.cancel_called and not self.interrupted,
            jobs=self._parts.jobs,
            clock=self._parts.clock,
        )
        try:
            with anyio.fail_after(left):
                output = await handler(args, context)
        except TimeoutError as error:
            raise Unavailable(f"it took longer than {timeout} s", hint="Raise the step's timeout.") from error
        except TidemillError:
            raise
        except Exception as error:  # the edge of a handler's code: whatever it raises is the step's outcome
            _log.exception("step %s of pipeline run %s failed", name, self.run.id)
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        digest = digest_json(output)
        await self._end(name, status="done", output=output, output_digest=digest, note="")

    async def _fail(self, name: str, error: TidemillError) -> None:
        hint = f"  {error.hint}" if error.hint else ""
        self._say(name, f"failed: {error}{hint}")
        for each in error.problems[:_MOST_PROBLEMS] if len(error.problems) > 1 else ():
            self._say(name, each.as_line())
        if len(error.problems) > _MOST_PROBLEMS:
            self._say(name, f"and {len(error.problems) - _MOST_PROBLEMS} more")
        await self._end(name, status="failed", error=f"{error}{hint}", note="")

    async def _end(self, name: str, **values: Any) -> None:
        now_ns = self._parts.clock.now_ns()

        def work(db: Connection) -> StepRow:
            rows.update_step(db, self.run.id, name, ended_ns=now_ns, **values)
            rows.add_lines(db, self.run.id, lines)
            return replace(row, ended_ns=now_ns, **values)

        row = self._rows[name]
        with anyio.CancelScope(shield=True):  # what was done is noted, whatever was asked meanwhile
            lines = self._take_lines()
            self._rows[name] = await self._parts.database.write(work)

    async def _note(self, name: str, note: str, *, status: str = "running") -> None:
        await self._parts.database.write(lambda db: rows.update_step(db, self.run.id, name, note=note, status=status))

    def _say(self, name: str, text: str) -> None:
        now_ns = self._parts.clock.now_ns()
        for line in text.splitlines() or [""]:
            self._lines.append((name, now_ns, line[:_LONGEST_LINE]))

    def _take_lines(self) -> list[tuple[str, int, str]]:
        """The lines so far; threads may add to them meanwhile."""
        return [self._lines.popleft() for _ in range(len(self._lines))]


def step_key(step: JsonObject, args: JsonObject) -> str | None:
    """What a step does, by which code, on which inputs, as one digest; None for a step whose output is never used again."""
    form = FORMS[str(step["do"])]
    if not form.cached or step.get("cache") is False:
        return None
    return digest_json({"do": step["do"], "version": form.version, "args": args, "code": step.get("code")})


def _needs(step: JsonObject) -> list[str]:
    needs = step.get("needs")
    return [str(each) for each in needs] if isinstance(needs, list | tuple) else []
