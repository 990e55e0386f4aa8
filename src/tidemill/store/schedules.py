"""When what is due next: a row a schedule, moved on by compare and set, so that two schedulers start it once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, String, Table, insert, select, update

from tidemill.store.tables import metadata

schedules = Table(
    "schedules",
    metadata,
    Column("project", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("trigger", String, primary_key=True),  # schedule, drift or feedback: each counts for itself
    Column("rule", String, nullable=False),  # as written; another rule starts over
    Column("mark_ns", BigInteger, nullable=False),  # of a schedule the next due time, else since when events count
    Column("last_ns", BigInteger, nullable=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Where a schedule stands: `mark_ns` is the next due time of a cron rule, else the time from which events count."""

    mark_ns: int
    last_ns: int | None


def read_mark(db: Connection, project: str, kind: str, name: str, *, trigger: str, rule: str, first_ns: int) -> Mark:
    """Where it stands; a schedule that is new, or was given another rule, stands at `first_ns`."""
    at = {"project": project, "kind": kind, "name": name, "trigger": trigger}
    row = db.execute(select(schedules).filter_by(**at)).first()
    if row is None:
        db.execute(insert(schedules), {**at, "rule": rule, "mark_ns": first_ns, "last_ns": None})
        return Mark(mark_ns=first_ns, last_ns=None)
    if row.rule != rule:
        db.execute(update(schedules).filter_by(**at).values(rule=rule, mark_ns=first_ns))
        return Mark(mark_ns=first_ns, last_ns=row.last_ns)
    return Mark(mark_ns=row.mark_ns, last_ns=row.last_ns)


def find_mark(db: Connection, project: str, kind: str, name: str, *, trigger: str, rule: str) -> Mark | None:
    """Where it stands by this rule; None when it was never looked at."""
    at = {"project": project, "kind": kind, "name": name, "trigger": trigger, "rule": rule}
    row = db.execute(select(schedules).filter_by(**at)).first()
    return None if row is None else Mark(mark_ns=row.mark_ns, last_ns=row.last_ns)


def move_mark(
    db: Connection, project: str, kind: str, name: str, *, trigger: str, expected_ns: int, mark_ns: int, now_ns: int
) -> bool:
    """Move on from `expected_ns`; False when another did so first. Whoever moves it starts what was due."""
    statement = update(schedules).filter_by(project=project, kind=kind, name=name, trigger=trigger, mark_ns=expected_ns)
    return db.execute(statement.values(mark_ns=mark_ns, last_ns=now_ns)).rowcount == 1
