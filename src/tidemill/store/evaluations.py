"""Evaluations, their samples one by one so that a killed one goes on, and what gates decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import Connection, and_, insert, or_, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.store.lineage_notes import find_point, note_decision, note_evaluation
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import decisions, evaluation_samples, evaluations
from tidemill.store.upsert import upsert

EvaluationStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """A release on a dataset; `config` is what was asked for, `result` the evaluation's JSON once there is one."""

    id: str
    project: str
    release: str
    root: str
    dataset: str
    status: EvaluationStatus = "queued"
    config: JsonObject = field(default_factory=dict[str, Json])
    result: Json = None
    created_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """What one sample gave in one replicate."""

    sample: str
    replicate: int
    data: JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a gate decided; `detail` is the whole gate result."""

    gate: str
    evaluation: str
    against: str | None
    result: str
    detail: JsonObject
    decided_ns: int


def create_evaluation(db: Connection, row: EvaluationRow) -> tuple[EvaluationRow, bool]:
    """Keep a new evaluation; whether it was created. One of the same id is returned as it is."""
    old = db.execute(select(evaluations).where(evaluations.c.id == row.id)).first()
    if old is None:
        db.execute(insert(evaluations), {each: getattr(row, each) for each in EvaluationRow.__dataclass_fields__})
        _note(db, row)
        return row, True
    if old.project != row.project:
        raise Conflict(f"evaluation {row.id} exists already, in another project")
    return _evaluation(old), False


def get_evaluation(db: Connection, project: str, evaluation: str) -> EvaluationRow:
    """The evaluation with this id, or the only one whose id begins so (8 characters or more). Raises `NotFound`."""
    query = select(evaluations).where(evaluations.c.project == project)
    row = db.execute(query.where(evaluations.c.id == evaluation)).first()
    if row is None and len(evaluation) >= 8:
        rows = db.execute(query.where(evaluations.c.id.startswith(evaluation, autoescape=True)).limit(2)).all()
        if len(rows) > 1:
            raise Conflict(f"several evaluations begin with {evaluation!r}", hint="Write more of the id.")
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(
            f"there is no evaluation {evaluation!r} in project {project!r}", hint="List them: tidemill get evaluation"
        )
    return _evaluation(row)


def list_evaluations(
    db: Connection,
    project: str,
    *,
    release: str | None = None,
    dataset: str | None = None,
    root: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[EvaluationRow]:
    """Evaluations, newest first."""
    query = select(evaluations).where(evaluations.c.project == project)
    wanted = {"release": release, "dataset": dataset, "root": root}
    query = query.filter_by(**{key: value for key, value in wanted.items() if value is not None})
    if cursor is not None:
        query = query.where(evaluations.c.id < cursor)
    rows = db.execute(query.order_by(evaluations.c.id.desc()).limit(check_limit(limit) + 1))
    return make_page([_evaluation(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def update_evaluation(
    db: Connection,
    project: str,
    evaluation: str,
    *,
    now_ns: int,
    status: EvaluationStatus | None = None,
    result: Json = None,
    release: str | None = None,
) -> EvaluationRow:
    """Change what is given; the rest stays. Raises `NotFound`."""
    changed = {"status": status, "result": result, "release": release}
    values = {key: value for key, value in changed.items() if value is not None}
    where = (evaluations.c.project == project, evaluations.c.id == evaluation)
    db.execute(update(evaluations).where(*where).values(**values, updated_ns=now_ns))
    return get_evaluation(db, project, evaluation)


def put_samples(db: Connection, evaluation_id: str, rows: Iterable[SampleRow]) -> None:
    """Keep what samples gave; the same sample and replicate again is replaced."""
    upsert(
        db,
        evaluation_samples,
        [{"evaluation": evaluation_id, "sample": row.sample, "replicate": row.replicate, "data": row.data} for row in rows],
    )


def get_samples(db: Connection, evaluation_id: str) -> list[SampleRow]:
    """What every finished sample gave, by sample and replicate."""
    query = select(evaluation_samples).where(evaluation_samples.c.evaluation == evaluation_id)
    rows = db.execute(query.order_by(evaluation_samples.c.sample, evaluation_samples.c.replicate))
    return [SampleRow(sample=row.sample, replicate=row.replicate, data=row.data) for row in rows]


def page_of_samples(db: Connection, evaluation_id: str, *, limit: int, cursor: str | None = None) -> Page[SampleRow]:
    """The same, a page at a time. Raises `Invalid` for a cursor that is none of these."""
    query = select(evaluation_samples).where(evaluation_samples.c.evaluation == evaluation_id)
    if cursor is not None:
        replicate, _, sample = cursor.partition(".")
        if not replicate.isdecimal():
            raise Invalid(f"cursor {cursor!r} is not one of this list", hint="Pass on what `next` said, unchanged.")
        same = and_(evaluation_samples.c.sample == sample, evaluation_samples.c.replicate > int(replicate))
        query = query.where(or_(evaluation_samples.c.sample > sample, same))
    ordered = query.order_by(evaluation_samples.c.sample, evaluation_samples.c.replicate)
    rows = db.execute(ordered.limit(check_limit(limit) + 1))
    found = [SampleRow(sample=row.sample, replicate=row.replicate, data=row.data) for row in rows]
    return make_page(found, limit=limit, cursor_of=lambda each: f"{each.replicate}.{each.sample}")


def put_decision(db: Connection, project: str, decision: Decision) -> None:
    """Keep what a gate decided."""
    values: Mapping[str, Any] = {each: getattr(decision, each) for each in Decision.__dataclass_fields__}
    kept = db.execute(insert(decisions), {"project": project, **values}).inserted_primary_key
    note_decision(
        db,
        project,
        kept[0] if kept else 0,
        gate=find_point(db, project, str(decision.detail.get("gate_version") or f"gate/{decision.gate.removeprefix('gate/')}")),
        evaluation=decision.evaluation,
        against=decision.against,
        now_ns=decision.decided_ns,
    )


def list_decisions(
    db: Connection, project: str, *, gate: str | None = None, evaluation: str | None = None, limit: int = 100
) -> tuple[Decision, ...]:
    """What gates decided, newest first."""
    query = select(decisions).where(decisions.c.project == project)
    if gate is not None:
        query = query.where(decisions.c.gate == gate)
    if evaluation is not None:
        query = query.where(decisions.c.evaluation == evaluation)
    rows = db.execute(query.order_by(decisions.c.id.desc()).limit(check_limit(limit)))
    names = Decision.__dataclass_fields__
    return tuple(Decision(**{each: getattr(row, each) for each in names}) for row in rows)


def decisions_on_release(db: Connection, project: str, release: str, *, gate: str, limit: int = 100) -> tuple[Decision, ...]:
    """What a gate decided on evaluations of this release, newest first."""
    mine = select(evaluations.c.id).where(evaluations.c.project == project, evaluations.c.release == release)
    query = select(decisions).where(decisions.c.project == project, decisions.c.gate == gate, decisions.c.evaluation.in_(mine))
    rows = db.execute(query.order_by(decisions.c.id.desc()).limit(check_limit(limit)))
    names = Decision.__dataclass_fields__
    return tuple(Decision(**{each: getattr(row, each) for each in names}) for row in rows)


def latest_evaluation(db: Connection, project: str, release: str) -> EvaluationRow | None:
    """The newest evaluation of this release that is done."""
    query = select(evaluations).filter_by(project=project, release=release, status="done")
    row = db.execute(query.order_by(evaluations.c.id.desc()).limit(1)).first()
    return None if row is None else _evaluation(row)


def measured_metrics(db: Connection, project: str, *, limit: int = 200) -> frozenset[str]:
    """The metrics that the newest evaluations of the project have."""
    query = select(evaluations.c.result).filter_by(project=project, status="done")
    rows = db.execute(query.order_by(evaluations.c.id.desc()).limit(limit)).scalars()
    results = [cast("Mapping[str, Any]", each) for each in rows if isinstance(each, Mapping)]
    return frozenset(str(metric) for each in results for metric in each.get("metrics") or ())


def _note(db: Connection, row: EvaluationRow) -> None:
    scorers = row.config.get("scorers")
    named = [str(each) for each in scorers] if isinstance(scorers, list | tuple) else []
    of = {"release": row.release, "root": row.root, "dataset": row.dataset}
    note_evaluation(db, row.project, row.id, **of, scorers=named, now_ns=row.created_ns)


def _evaluation(row: Row[Any]) -> EvaluationRow:
    return EvaluationRow(**{each: getattr(row, each) for each in EvaluationRow.__dataclass_fields__})
