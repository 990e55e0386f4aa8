"""How much of what is in a project: counts of rows, for whoever asks how a project is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, Table, distinct, func, select
from sqlalchemy.sql import ColumnElement

from tidemill.store.alerts import alerts
from tidemill.store.approvals import approvals
from tidemill.store.audit import audit
from tidemill.store.feedback import feedback
from tidemill.store.monitors import monitor_proposals, monitor_runs, monitor_scores
from tidemill.store.pipelines import pipeline_runs
from tidemill.store.rollout_rows import rollouts
from tidemill.store.schedules import schedules
from tidemill.store.tables import (
    aliases,
    artifacts,
    decisions,
    endpoint_moves,
    endpoints,
    evaluations,
    index_builds,
    jobs,
    keys,
    versions,
)


def take_census(db: Connection, project: str) -> Mapping[str, int]:
    """Counts by what is counted. `versions.KIND`, `changed.KIND` (artifacts with a second version) and `KIND` for each kind."""

    def count(table: Table, *where: ColumnElement[bool]) -> int:
        return db.execute(select(func.count()).select_from(table).where(table.c.project == project, *where)).scalar_one()

    done = evaluations.c.status == "done"
    return {
        **_by_kind(db, project),
        "releases": count(versions, versions.c.kind == "release"),
        "aliases": count(aliases),
        "evaluations": count(evaluations, done),
        "evaluated.releases": _distinct(db, evaluations.c.release, evaluations.c.project == project, done),
        "evaluated.datasets": _distinct(db, evaluations.c.dataset, evaluations.c.project == project, done),
        "gates.decided": count(decisions),
        "gates.passed": count(decisions, decisions.c.result == "passed"),
        "gates.compared": count(decisions, decisions.c.against.is_not(None)),
        "datasets.from_traces": _from_traces(db, project),
        "endpoints": count(endpoints),
        "deployments": count(endpoint_moves, endpoint_moves.c.action == "deploy"),
        "deployments.gated": _gated(db, project),
        "rollbacks": count(endpoint_moves, endpoint_moves.c.action == "rollback"),
        "rollouts": count(rollouts),
        "rollouts.ended": count(rollouts, rollouts.c.ended_ns.is_not(None)),
        "indexes.built": count(index_builds, index_builds.c.status == "ready"),
        "feedback": count(feedback),
        "monitor.runs": count(monitor_runs, monitor_runs.c.status == "done"),
        "monitor.scores": count(monitor_scores),
        "monitor.accepted": count(monitor_proposals, monitor_proposals.c.accepted_into.is_not(None)),
        "alerts": count(alerts),
        "tune.runs": count(jobs, jobs.c.kind == "tune", jobs.c.status == "done"),
        "approvals": count(approvals),
        "audit": count(audit),
        "audit.people": _distinct(db, audit.c.who, audit.c.project == project, audit.c.who.startswith("person/")),
        "evidence.packs": count(audit, audit.c.action == "evidence.pack"),
        "keys.people": count(keys, keys.c.person.is_not(None), keys.c.revoked_ns.is_(None)),
        "pipeline.runs": count(pipeline_runs, pipeline_runs.c.status == "done"),
        "pipeline.triggered": count(pipeline_runs, pipeline_runs.c.status == "done", pipeline_runs.c.trigger != "manual"),
        "schedules": count(schedules),
    }


def newest_names(db: Connection, project: str) -> Mapping[str, str]:
    """What to write for APP, DATASET, GATE, MONITOR, PIPELINE, ENDPOINT and EVALUATION in a command: the newest of each."""
    query = select(artifacts.c.kind, artifacts.c.name).where(artifacts.c.project == project)
    names: dict[str, str] = {}
    for kind, name in db.execute(query.order_by(artifacts.c.updated_ns)):
        place = "APP" if kind in {"chain", "agent"} else kind.upper()
        names[place] = f"{kind}/{name}"
    endpoint = select(endpoints.c.name).where(endpoints.c.project == project).order_by(endpoints.c.updated_ns.desc())
    evaluation = select(evaluations.c.id).where(evaluations.c.project == project, evaluations.c.status == "done")
    found = {
        "ENDPOINT": db.execute(endpoint.limit(1)).scalar(),
        "EVALUATION": db.execute(evaluation.order_by(evaluations.c.id.desc()).limit(1)).scalar(),
    }
    endpoint_name = found["ENDPOINT"]
    named = {**found, "ENDPOINT": f"endpoint/{endpoint_name}" if endpoint_name else None}
    return names | {place: str(each) for place, each in named.items() if each}


def scorers_run(db: Connection, project: str) -> frozenset[str]:
    """The names of every metric that a finished evaluation measured."""
    rows = db.execute(select(evaluations.c.result).where(evaluations.c.project == project, evaluations.c.status == "done"))
    results = cast("list[dict[str, Any]]", [result for (result,) in rows if isinstance(result, dict)])
    return frozenset(str(name) for result in results for name in result.get("metrics", {}))


def _by_kind(db: Connection, project: str) -> dict[str, int]:
    query = select(artifacts.c.kind, func.count(), func.sum(artifacts.c.last_number)).where(artifacts.c.project == project)
    counts: dict[str, int] = {}
    for kind, number, numbers in db.execute(query.group_by(artifacts.c.kind)):
        counts |= {kind: number, f"versions.{kind}": int(numbers)}
    changed = select(artifacts.c.kind, func.count()).where(artifacts.c.project == project, artifacts.c.last_number > 1)
    for kind, number in db.execute(changed.group_by(artifacts.c.kind)):
        counts[f"changed.{kind}"] = number
    return counts


def _from_traces(db: Connection, project: str) -> int:
    """Dataset versions whose rows name the traces that they were made from."""
    query = select(versions.c.spec).where(versions.c.project == project, versions.c.kind == "dataset")
    columns = cast("list[dict[str, Any]]", [spec.get("columns") or {} for (spec,) in db.execute(query)])
    return sum({"trace", "traces"} <= set(each) for each in columns)


def _gated(db: Connection, project: str) -> int:
    """Deployments of a release one of whose evaluations had passed a gate by then."""
    passed = (
        select(decisions.c.id)
        .join(evaluations, evaluations.c.id == decisions.c.evaluation)
        .where(
            decisions.c.project == project,
            decisions.c.result == "passed",
            evaluations.c.release == endpoint_moves.c.release,
            decisions.c.decided_ns <= endpoint_moves.c.moved_ns,
        )
    )
    mine = (endpoint_moves.c.project == project, endpoint_moves.c.action.in_(("deploy", "promote")), passed.exists())
    return db.execute(select(func.count()).select_from(endpoint_moves).where(*mine)).scalar_one()


def _distinct(db: Connection, column: ColumnElement[str], *where: ColumnElement[bool]) -> int:
    return db.execute(select(func.count(distinct(column))).where(*where)).scalar_one()
