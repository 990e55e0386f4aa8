"""What monitors found: runs, the samples that they propose, and scores of live traces that were given once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata
from tidemill.store.upsert import in_batches, upsert

RunStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
_Json: Final = JSON(none_as_null=True)

monitor_runs = Table(
    "monitor_runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("monitor", String, nullable=False),  # empty: asked for once, by no monitor
    Column("target", String, nullable=False),
    Column("status", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("p_value", Float, nullable=True),
    Column("alarm", Boolean, nullable=False),
    Column("config", _Json, nullable=False),
    Column("result", _Json, nullable=True),
    Column("error", String, nullable=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Index("monitor_runs_by_project", "project", "id"),
    Index("monitor_runs_by_monitor", "project", "monitor", "id"),
)

monitor_proposals = Table(
    "monitor_proposals",
    metadata,
    Column("run", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("project", String, nullable=False),
    Column("trace_id", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("input", _Json, nullable=True),
    Column("output", _Json, nullable=True),
    Column("accepted_into", String, nullable=True),
    Column("accepted_ns", BigInteger, nullable=True),
)

monitor_scores = Table(
    "monitor_scores",
    metadata,
    Column("project", String, primary_key=True),
    Column("trace_id", String, primary_key=True),
    Column("scorer", String, primary_key=True),
    Column("metric", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("release", String, nullable=False),
    Column("value", Float, nullable=True),
    Column("error", String, nullable=True),
    Column("reason", String, nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Index("monitor_scores_by_time", "project", "scorer", "start_ns"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorRun:
    """One look at live traffic. `config` is what was asked for; `result` what was found, once it is done.

    `target` is `endpoint/x` or a release's digest. `alarm` says that drift was found; undecidable is no alarm.
    """

    id: str
    project: str
    monitor: str
    target: str
    status: RunStatus = "queued"
    verdict: str = ""
    p_value: float | None = None
    alarm: bool = False
    config: JsonObject = field(default_factory=dict[str, Json])
    result: Json = None
    error: str | None = None
    created_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A live input that the evaluation set lacks. `accepted_into` is the dataset version that took it."""

    run: str
    number: int
    project: str
    trace_id: str
    topic: str
    input: Json
    output: Json = None
    accepted_into: str | None = None
    accepted_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveScore:
    """What one scorer, by its digest, gave one live trace; `start_ns` is the trace's."""

    project: str
    trace_id: str
    scorer: str
    metric: str
    endpoint: str = ""
    release: str = ""
    value: float | None = None
    error: str | None = None
    reason: str = ""
    start_ns: int = 0
    created_ns: int = 0


def create_run(db: Connection, run: MonitorRun) -> None:
    """Keep a new run."""
    db.execute(insert(monitor_runs), _values(run))


def get_run(db: Connection, project: str, run: str) -> MonitorRun:
    """The run with this id, or the only one whose id begins so (8 characters or more). Raises `NotFound`."""
    query = select(monitor_runs).where(monitor_runs.c.project == project)
    row = db.execute(query.where(monitor_runs.c.id == run)).first()
    if row is None and len(run) >= 8:
        rows = db.execute(query.where(monitor_runs.c.id.startswith(run, autoescape=True)).limit(2)).all()
        if len(rows) > 1:
            raise Conflict(f"several monitor runs begin with {run!r}", hint="Write more of the id.")
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"there is no monitor run {run!r} in project {project!r}", hint="List them: tidemill monitor list")
    return _run(row)


def find_run(db: Connection, project: str, run: str) -> MonitorRun | None:
    """The run with exactly this id, or None."""
    row = db.execute(select(monitor_runs).where(monitor_runs.c.project == project, monitor_runs.c.id == run)).first()
    return None if row is None else _run(row)


def queued_runs(db: Connection) -> list[MonitorRun]:
    """Runs of every project that were kept and whose job has not begun."""
    rows = db.execute(select(monitor_runs).where(monitor_runs.c.status == "queued").order_by(monitor_runs.c.id))
    return [_run(row) for row in rows]


def list_runs(
    db: Connection, project: str, *, monitor: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[MonitorRun]:
    """Runs, newest first; of one monitor, or of all."""
    query = select(monitor_runs).where(monitor_runs.c.project == project)
    if monitor is not None:
        query = query.where(monitor_runs.c.monitor == monitor)
    if cursor is not None:
        query = query.where(monitor_runs.c.id < cursor)
    rows = db.execute(query.order_by(monitor_runs.c.id.desc()).limit(check_limit(limit) + 1))
    return make_page([_run(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def update_run(db: Connection, run: MonitorRun) -> None:
    """Keep the newest state of a run."""
    db.execute(update(monitor_runs).where(monitor_runs.c.id == run.id).values(_values(run)))


def last_alarm(db: Connection, project: str, monitor: str, *, since_ns: int = 0) -> MonitorRun | None:
    """The newest finished run of `monitor/x` (or `x`) that found drift and ended at or after `since_ns`; None when none did."""
    at = monitor_runs.c
    query = select(monitor_runs).where(
        at.project == project, at.monitor == monitor.removeprefix("monitor/"), at.alarm, at.updated_ns >= since_ns
    )
    row = db.execute(query.order_by(at.updated_ns.desc(), at.id.desc()).limit(1)).first()
    return None if row is None else _run(row)


def put_proposals(db: Connection, proposals: Sequence[Proposal]) -> None:
    """Keep what a run proposes; the same run again replaces it."""
    upsert(db, monitor_proposals, [_values(each) for each in proposals])


def list_proposals(db: Connection, project: str, run: str) -> list[Proposal]:
    """What a run proposes, in its order."""
    at = monitor_proposals.c
    rows = db.execute(select(monitor_proposals).where(at.project == project, at.run == run).order_by(at.number))
    return [Proposal(**{name: getattr(row, name) for name in Proposal.__dataclass_fields__}) for row in rows]


def mark_accepted(db: Connection, run: str, numbers: Iterable[int], *, into: str, now_ns: int) -> None:
    """Note which dataset version took these proposals."""
    at = monitor_proposals.c
    where = (at.run == run, at.number.in_(list(numbers)), at.accepted_into.is_(None))
    db.execute(update(monitor_proposals).where(*where).values(accepted_into=into, accepted_ns=now_ns))


def put_live_scores(db: Connection, scores: Sequence[LiveScore]) -> None:
    """Keep scores of live traces; the same trace and scorer again is replaced."""
    upsert(db, monitor_scores, [_values(each) for each in scores])


def scored_traces(db: Connection, project: str, scorer: str, traces: Sequence[str]) -> set[str]:
    """Those of the traces that this scorer, by its digest, has given a score or an error."""
    at = monitor_scores.c
    found: set[str] = set()
    for batch in in_batches(traces):
        query = select(at.trace_id).where(at.project == project, at.scorer == scorer, at.trace_id.in_(batch))
        found.update(db.execute(query).scalars())
    return found


def list_live_scores(
    db: Connection, project: str, scorers: Sequence[str], *, endpoint: str = "", since_ns: int = 0
) -> list[LiveScore]:
    """Scores by these scorers of traces that began at or after `since_ns`, the oldest first; of one endpoint, or of all."""
    at = monitor_scores.c
    query = select(monitor_scores).where(at.project == project, at.scorer.in_(list(scorers)), at.start_ns >= since_ns)
    if endpoint:
        query = query.where(at.endpoint == endpoint)
    rows = db.execute(query.order_by(at.start_ns, at.trace_id))
    return [LiveScore(**{name: getattr(row, name) for name in LiveScore.__dataclass_fields__}) for row in rows]


def _values(record: MonitorRun | Proposal | LiveScore) -> Mapping[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _run(row: Row[Any]) -> MonitorRun:
    return MonitorRun(**{name: getattr(row, name) for name in MonitorRun.__dataclass_fields__})
