"""Runs of pipelines: which version with which inputs, every step as far as it is, and the lines that steps wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import JSON, BigInteger, Boolean, Column, Connection, Index, Integer, String, Table, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.store.lineage_notes import note_output, note_run
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata

RunStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
StepStatus: TypeAlias = Literal["pending", "running", "waiting", "done", "skipped", "failed", "blocked", "cancelled"]
Trigger: TypeAlias = Literal["manual", "schedule", "drift", "feedback"]
ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled"})
STEP_ENDED: frozenset[str] = frozenset({"done", "skipped", "failed", "blocked", "cancelled"})

pipeline_runs = Table(
    "pipeline_runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("pipeline", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("status", String, nullable=False),
    Column("inputs", JSON(none_as_null=True), nullable=False),
    Column("trigger", String, nullable=False),
    Column("trigger_key", String, nullable=False),  # what makes one start of it once: the due time, the alarm, the run's own id
    Column("who", String, nullable=False),
    Column("role", String, nullable=False),
    Column("error", String, nullable=True),
    Column("owner", String, nullable=True),  # the server's start that carries it on
    Column("cancel_requested", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=True),
    Index("pipeline_runs_once", "project", "pipeline", "trigger_key", unique=True),
    Index("pipeline_runs_by_project", "project", "id"),
    Index("pipeline_runs_by_status", "status"),
)

pipeline_steps = Table(
    "pipeline_steps",
    metadata,
    Column("run", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("project", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", String, nullable=True),  # covers what is done, by which code, on which inputs
    Column("inputs", JSON(none_as_null=True), nullable=True),
    Column("output", JSON(none_as_null=True), nullable=True),
    Column("output_digest", String, nullable=True),
    Column("cached_from", String, nullable=True),  # the run whose output was re-used
    Column("error", String, nullable=True),
    Column("note", String, nullable=False),
    Column("started_ns", BigInteger, nullable=True),
    Column("ended_ns", BigInteger, nullable=True),
    Index("pipeline_steps_by_key", "project", "key"),
)

pipeline_logs = Table(
    "pipeline_logs",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run", String, nullable=False),
    Column("step", String, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("line", String, nullable=False),
    Index("pipeline_logs_by_run", "run", "id"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineRun:
    """One run, pinned to a version of its pipeline. `trigger_key` is unique in the pipeline: the same cause starts one run.

    `who` started it, and with `role` what its steps do is done in that name.
    """

    id: str
    project: str
    pipeline: str
    version: int
    digest: str
    trigger_key: str
    trigger: Trigger = "manual"
    status: RunStatus = "queued"
    inputs: JsonObject = field(default_factory=dict[str, Json])
    who: str = ""
    role: str = "developer"
    error: str | None = None
    owner: str | None = None
    cancel_requested: bool = False
    created_ns: int = 0
    updated_ns: int = 0
    ended_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step of a run. `inputs` are its arguments as filled in, `output_digest` covers `output`."""

    run: str
    step: str
    position: int
    project: str
    kind: str
    status: StepStatus = "pending"
    attempt: int = 0
    key: str | None = None
    inputs: Json = None
    output: Json = None
    output_digest: str | None = None
    cached_from: str | None = None
    error: str | None = None
    note: str = ""
    started_ns: int | None = None
    ended_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line that a step wrote; `id` grows with time."""

    id: int
    run: str
    step: str
    at_ns: int
    line: str


_RUN_FIELDS = tuple(each.name for each in fields(PipelineRun))
_STEP_FIELDS = tuple(each.name for each in fields(StepRow))
_LOG_FIELDS = tuple(each.name for each in fields(LogLine))


def create_run(db: Connection, run: PipelineRun, steps: Sequence[StepRow]) -> tuple[PipelineRun, bool]:
    """Keep a new run with its steps; whether it was created. One that the same cause started is returned as it is.

    Raises `Conflict` when the id belongs to another run.
    """
    same = {"project": run.project, "pipeline": run.pipeline, "trigger_key": run.trigger_key}
    old = db.execute(select(pipeline_runs).filter_by(**same)).first()
    if old is not None:
        return _run(old), False
    if db.execute(select(pipeline_runs.c.id).where(pipeline_runs.c.id == run.id)).first() is not None:
        raise Conflict(f"run {run.id} exists already, of another start", hint="Use a new id.")
    db.execute(insert(pipeline_runs), {each: getattr(run, each) for each in _RUN_FIELDS})
    note_run(db, run.project, run.id, pipeline=run.pipeline, digest=run.digest, now_ns=run.created_ns)
    if steps:
        db.execute(insert(pipeline_steps), [{each: getattr(row, each) for each in _STEP_FIELDS} for row in steps])
    return run, True


def get_run(db: Connection, project: str | None, run: str) -> PipelineRun:
    """The run with this id, that was started under it, or the only one whose id begins so (8 characters or more).

    Raises `NotFound`.
    """
    query = select(pipeline_runs)
    if project is not None:
        query = query.where(pipeline_runs.c.project == project)
    row = db.execute(query.where(pipeline_runs.c.id == run)).first()
    if row is None and project is not None:
        row = db.execute(query.where(pipeline_runs.c.trigger_key == run).order_by(pipeline_runs.c.id)).first()
    if row is None and len(run) >= 8:
        rows = db.execute(query.where(pipeline_runs.c.id.startswith(run, autoescape=True)).limit(2)).all()
        if len(rows) > 1:
            raise Conflict(f"several runs begin with {run!r}", hint="Write more of the id.")
        row = rows[0] if rows else None
    if row is None:
        known = db.execute(query.with_only_columns(pipeline_runs.c.id).limit(1000)).scalars().all()
        raise NotFound(f"there is no pipeline run {run!r}", hint=f"{did_you_mean(run, known)} List: tidemill pipeline list")
    return _run(row)


def list_runs(
    db: Connection, project: str, *, pipeline: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[PipelineRun]:
    """Runs, newest first."""
    query = select(pipeline_runs).where(pipeline_runs.c.project == project)
    if pipeline is not None:
        query = query.where(pipeline_runs.c.pipeline == pipeline)
    if cursor is not None:
        query = query.where(pipeline_runs.c.id < cursor)
    rows = db.execute(query.order_by(pipeline_runs.c.id.desc()).limit(check_limit(limit) + 1))
    return make_page([_run(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def unfinished_runs(db: Connection, *, project: str | None = None, pipeline: str | None = None) -> tuple[PipelineRun, ...]:
    """Runs that are to go on, oldest first; of every project, or of one pipeline."""
    query = select(pipeline_runs).where(pipeline_runs.c.status.in_(("queued", "running")))
    if project is not None:
        query = query.where(pipeline_runs.c.project == project)
    if pipeline is not None:
        query = query.where(pipeline_runs.c.pipeline == pipeline)
    return tuple(_run(row) for row in db.execute(query.order_by(pipeline_runs.c.id)))


def claim_run(db: Connection, run: PipelineRun, *, owner: str, now_ns: int) -> bool:
    """Carry a run on from here; False when another claimed it since `run` was read, or it ended (compare and set)."""
    held = pipeline_runs.c.owner.is_(None) if run.owner is None else pipeline_runs.c.owner == run.owner
    alive = pipeline_runs.c.status.in_(("queued", "running"))
    statement = update(pipeline_runs).where(pipeline_runs.c.id == run.id, held, alive)
    return db.execute(statement.values(owner=owner, status="running", updated_ns=now_ns)).rowcount == 1


def request_cancel(db: Connection, run: str, *, now_ns: int) -> None:
    """Note that a run is to stop; a kill does not lose that."""
    db.execute(update(pipeline_runs).where(pipeline_runs.c.id == run).values(cancel_requested=True, updated_ns=now_ns))


def end_run(db: Connection, run: str, *, status: RunStatus, error: str | None, now_ns: int) -> None:
    """Note how a run ended, and with it the steps that never did. A run that has ended stays as it is."""
    alive = pipeline_runs.c.status.in_(("queued", "running"))
    values = {"status": status, "error": error, "updated_ns": now_ns, "ended_ns": now_ns}
    if db.execute(update(pipeline_runs).where(pipeline_runs.c.id == run, alive).values(values)).rowcount:
        left = pipeline_steps.c.status.not_in(STEP_ENDED)
        ended = {"status": "cancelled", "ended_ns": now_ns, "note": ""}
        db.execute(update(pipeline_steps).where(pipeline_steps.c.run == run, left).values(ended))


def get_steps(db: Connection, run: str) -> tuple[StepRow, ...]:
    """A run's steps in the order written."""
    query = select(pipeline_steps).where(pipeline_steps.c.run == run).order_by(pipeline_steps.c.position)
    return tuple(_step(row) for row in db.execute(query))


def get_step(db: Connection, run: str, step: str) -> StepRow:
    """One step of a run. Raises `NotFound`."""
    row = db.execute(select(pipeline_steps).filter_by(run=run, step=step)).first()
    if row is None:
        known = [each.step for each in get_steps(db, run)]
        raise NotFound(f"run {run} has no step {step!r}", hint=did_you_mean(step, known))
    return _step(row)


def find_cached(db: Connection, project: str, key: str) -> StepRow | None:
    """The newest finished step with this key that did the work itself."""
    query = select(pipeline_steps).where(
        pipeline_steps.c.project == project,
        pipeline_steps.c.key == key,
        pipeline_steps.c.status == "done",
        pipeline_steps.c.cached_from.is_(None),
    )
    row = db.execute(query.order_by(pipeline_steps.c.ended_ns.desc()).limit(1)).first()
    return None if row is None else _step(row)


def monitor_looks(db: Connection, project: str, *, since_ns: int) -> frozenset[str]:
    """The ids of the monitor's runs that steps of pipelines made and that ended after a time."""
    at = pipeline_steps.c
    query = select(at.output).where(at.project == project, at.kind == "monitor", at.status == "done", at.ended_ns > since_ns)
    outputs = cast("Sequence[Json]", db.execute(query).scalars().all())
    return frozenset(str(each["run"]) for each in outputs if isinstance(each, Mapping) and "run" in each)


def update_step(db: Connection, run: str, step: str, **values: Any) -> bool:
    """Change a step's columns; False, and nothing changes, when it has ended already."""
    at = (pipeline_steps.c.run == run, pipeline_steps.c.step == step, pipeline_steps.c.status.not_in(STEP_ENDED))
    is_changed = db.execute(update(pipeline_steps).where(*at).values(values)).rowcount == 1
    if is_changed and values.get("status") == "done":
        project = db.execute(select(pipeline_steps.c.project).filter_by(run=run, step=step)).scalar_one()
        note_output(db, project, run, values.get("output"), now_ns=values.get("ended_ns") or 0)
    return is_changed


def add_lines(db: Connection, run: str, lines: Iterable[tuple[str, int, str]]) -> None:
    """Keep lines: (step, time, text)."""
    rows = [{"run": run, "step": step, "at_ns": at_ns, "line": text} for step, at_ns, text in lines]
    if rows:
        db.execute(insert(pipeline_logs), rows)


def list_lines(
    db: Connection, run: str, *, step: str | None = None, limit: int = 1000, cursor: str | None = None
) -> Page[LogLine]:
    """A run's lines in the order written; with `step`, only those of one."""
    query = select(pipeline_logs).where(pipeline_logs.c.run == run)
    if step is not None:
        query = query.where(pipeline_logs.c.step == step)
    if cursor is not None and cursor.isdecimal():
        query = query.where(pipeline_logs.c.id > int(cursor))
    rows = db.execute(query.order_by(pipeline_logs.c.id).limit(check_limit(limit) + 1))
    found = [LogLine(**{each: getattr(row, each) for each in _LOG_FIELDS}) for row in rows]
    return make_page(found, limit=limit, cursor_of=lambda each: str(each.id))


def _run(row: Row[Any]) -> PipelineRun:
    return PipelineRun(**{each: getattr(row, each) for each in _RUN_FIELDS})


def _step(row: Row[Any]) -> StepRow:
    return StepRow(**{each: getattr(row, each) for each in _STEP_FIELDS})
