"""What starts a pipeline by itself: its schedule, a monitor that alarmed, enough new feedback.

At most one such run of a pipeline goes on at a time: what comes meanwhile waits, and starts one run when that has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.jobs.schedules import Scheduled, Source, latest_versions, scheduled_artifacts
from tidemill.pipelines.service import Cause, Pipelines, unfinished
from tidemill.store import pipelines as rows
from tidemill.store import registry
from tidemill.store.database import Database
from tidemill.store.feedback import count_feedback
from tidemill.store.monitors import last_alarm
from tidemill.store.monitors import list_runs as list_looks
from tidemill.store.pipelines import PipelineRun, Trigger
from tidemill.store.projects import archived_projects, is_archived
from tidemill.store.schedules import find_mark, move_mark, read_mark

ROLE = "developer"
"""In whose role the steps of a run act that nobody started by hand."""

_LOOKS = 200


class Triggers:
    """Starts what is due. A start and the mark that it was due are one transaction: two schedulers start it once."""

    def __init__(self, *, pipelines: Pipelines, database: Database, clock: Clock) -> None:
        self._pipelines = pipelines
        self._database = database
        self._clock = clock

    def source(self) -> Source:
        """The pipelines that have a schedule, for `Schedules.add`."""
        due = scheduled_artifacts("pipeline", cron_of=lambda spec: _on(spec).get("schedule"))
        return Source(kind="pipeline", due=due, begin=self._begin, started=self._started)

    async def look(self) -> Sequence[str]:
        """Start what drift or feedback asks for, for `Schedules.also`; the ids of the runs."""
        watched = await self._database.remember(("pipelines watched",), _watched)
        began: list[PipelineRun] = []
        for version in watched:
            run = await self._database.read(lambda db, version=version: self._is_due(db, version))
            if run:
                made = await self._database.write(lambda db, version=version: self._start_due(db, version))
                if made is not None:
                    began.append(made)
        for each in began:
            await self._pipelines.carry_on(each)
        return [each.id for each in began]

    def _begin(self, db: Connection, item: Scheduled, due_ns: int) -> str | None:
        version = registry.get_version(db, item.project, parse_ref(f"pipeline/{item.name}"))
        run = self._write(db, version, trigger="schedule", key=f"schedule:{due_ns}")
        return None if run is None else run.id

    async def _started(self, item: Scheduled, run: str) -> None:
        found = await self._database.read(lambda db: rows.get_run(db, item.project, run))
        await self._pipelines.carry_on(found)

    def _is_due(self, db: Connection, version: Version) -> bool:
        """Whether something must be written: a first mark, or a start."""
        at = (version.project, "pipeline", version.name)
        for trigger, rule in _rules(version):
            mark = find_mark(db, *at, trigger=trigger, rule=rule)
            if mark is None or self._event(db, version, trigger, rule, mark.mark_ns) is not None:
                return True
        return False

    def _start_due(self, db: Connection, version: Version) -> PipelineRun | None:
        now_ns = self._clock.now_ns()
        at = (version.project, "pipeline", version.name)
        if is_archived(db, version.project):
            return None
        for trigger, rule in _rules(version):
            mark = read_mark(db, *at, trigger=trigger, rule=rule, first_ns=now_ns)
            event_ns = self._event(db, version, trigger, rule, mark.mark_ns)
            if event_ns is None:
                continue
            run = self._write(db, version, trigger=trigger, key=f"{trigger}:{event_ns}")
            if run is None:
                return None
            if move_mark(db, *at, trigger=trigger, expected_ns=mark.mark_ns, mark_ns=event_ns, now_ns=now_ns):
                return run
        return None

    def _event(self, db: Connection, version: Version, trigger: Trigger, rule: str, since_ns: int) -> int | None:
        """The new mark when this trigger holds, else None."""
        if trigger == "feedback":
            enough = count_feedback(db, version.project, since_ns + 1) >= int(rule)
            return self._clock.now_ns() if enough else None
        return _alarm_after(db, version.project, parse_ref(rule).name, since_ns)

    def _write(self, db: Connection, version: Version, *, trigger: Trigger, key: str) -> PipelineRun | None:
        if unfinished(db, version.project, version.name) is not None:
            return None
        cause = Cause(trigger=trigger, key=key, who=f"pipeline/{version.name}", role=ROLE)
        run, is_new = self._pipelines.write_run(db, version, {}, cause=cause, now_ns=self._clock.now_ns())
        return run if is_new else None


def _alarm_after(db: Connection, project: str, monitor: str, since_ns: int) -> int | None:
    """When the monitor last alarmed after a time, what pipelines looked at themselves apart: that would start them for ever."""
    if last_alarm(db, project, monitor, since_ns=since_ns + 1) is None:
        return None
    own = rows.monitor_looks(db, project, since_ns=since_ns)
    looks = list_looks(db, project, monitor=monitor, limit=_LOOKS).items
    return max(
        (each.updated_ns for each in looks if each.alarm and each.updated_ns > since_ns and each.id not in own), default=None
    )


def _on(spec: JsonObject) -> dict[str, str]:
    on = spec.get("on")
    return {key: str(value) for key, value in on.items()} if isinstance(on, Mapping) else {}


def _rules(version: Version) -> list[tuple[Trigger, str]]:
    on = _on(version.spec)
    found: list[tuple[Trigger, str]] = []
    if "drift" in on:
        found.append(("drift", on["drift"]))
    if "feedback" in on:
        found.append(("feedback", on["feedback"]))
    return found


def _watched(db: Connection) -> tuple[Version, ...]:
    archived = archived_projects(db)
    return tuple(each for each in latest_versions(db, "pipeline") if each.project not in archived and _rules(each))
