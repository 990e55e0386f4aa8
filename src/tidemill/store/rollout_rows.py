"""The rows of rollouts, which both endpoints and rollouts read: what is being tried at which endpoint, and by which shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, Integer, String, Table, insert, select, update
from sqlalchemy.engine import Row

from tidemill.store.lineage_notes import note_rollout
from tidemill.store.tables import metadata

RolloutStatus: TypeAlias = Literal["running", "promoted", "aborted"]

rollouts = Table(
    "rollouts",
    metadata,
    Column("project", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("endpoint", String, nullable=False),
    Column("status", String, nullable=False),
    Column("release", String, nullable=False),
    Column("root", String, nullable=False),
    Column("stable_release", String, nullable=False),
    Column("stable_root", String, nullable=False),
    Column("steps", JSON, nullable=False),  # [{"share": percent}, …], in order
    Column("step", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("started_by", String, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_by", String, nullable=False),
    Column("ended_ns", BigInteger, nullable=True),
    Column("why", String, nullable=False),
    Index("rollouts_by_endpoint", "project", "endpoint", "started_ns"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutStep:
    """One stretch of a rollout. `share` of the traffic, in percent, goes to the canary."""

    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """A release (the canary) that takes a share of an endpoint's traffic beside the stable one.

    `step` is the number of the step that it is at, from 0. `key` is the secret of the hash that says who is in the share.
    """

    project: str
    id: str
    endpoint: str
    status: RolloutStatus
    release: str
    root: str
    stable_release: str
    stable_root: str
    steps: tuple[RolloutStep, ...]
    step: int = 0
    key: str
    started_by: str
    started_ns: int
    ended_by: str = ""
    ended_ns: int | None = None
    why: str = ""

    @property
    def share(self) -> float:
        """The canary's share now, in percent; 0 once it was aborted, 100 once it was promoted."""
        if self.status != "running":
            return 100.0 if self.status == "promoted" else 0.0
        return self.steps[self.step].share


def running_rollout(db: Connection, project: str, endpoint: str) -> Rollout | None:
    """The rollout that runs at an endpoint now."""
    row = db.execute(select(rollouts).filter_by(project=project, endpoint=endpoint, status="running").with_for_update()).first()
    return None if row is None else rollout_of(row)


def insert_rollout(db: Connection, rollout: Rollout) -> None:
    """Keep a new rollout."""
    values = {name: getattr(rollout, name) for name in Rollout.__dataclass_fields__}
    db.execute(insert(rollouts), {**values, "steps": [{"share": each.share} for each in rollout.steps]})
    of = {"endpoint": rollout.endpoint, "release": rollout.release, "root": rollout.root}
    note_rollout(db, rollout.project, rollout.id, **of, now_ns=rollout.started_ns)


def end_rollout(db: Connection, rollout: Rollout, *, status: RolloutStatus, by: str, why: str, now_ns: int) -> None:
    """Note how a rollout ended."""
    where = (rollouts.c.project == rollout.project, rollouts.c.id == rollout.id)
    db.execute(update(rollouts).where(*where).values(status=status, ended_by=by, ended_ns=now_ns, why=why))


def rollout_of(row: Row[Any]) -> Rollout:
    """The record in a row of `rollouts`."""
    values: dict[str, Any] = {name: getattr(row, name) for name in Rollout.__dataclass_fields__}
    steps: Sequence[dict[str, float]] = row.steps
    values["steps"] = tuple(RolloutStep(share=each["share"]) for each in steps)
    return Rollout(**values)
