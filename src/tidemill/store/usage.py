"""What was used, by whom, on which day (UTC): requests, tokens and money. Budgets and reports read the same rows.

A subject is `project`, `key/ID`, `user/NAME`, `team/NAME`, `endpoint/NAME` or `model/NAME`. A call stands under each of its
subjects, so subjects are never added up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, delete, func, select

from tidemill.store.tables import metadata
from tidemill.store.upsert import in_batches, insert_by

_EPOCH: Final = dt.date(1970, 1, 1)

usage_days = Table(
    "usage_days",
    metadata,
    Column("project", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970-01-01
    Column("requests", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),  # billionths of a US dollar
)
_AMOUNTS: Final = ("requests", "refused", "input_tokens", "output_tokens", "cost")


class Used(msgspec.Struct, kw_only=True, gc=False):
    """What was used. `cost` is in billionths of a US dollar; `refused` counts requests that a limit turned away."""

    requests: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0

    @property
    def tokens(self) -> int:
        """Of input and output."""
        return self.input_tokens + self.output_tokens

    def add(self, other: Used) -> None:
        """Count `other` in."""
        self.requests += other.requests
        self.refused += other.refused
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost


def day_of(now_ns: int) -> int:
    """The day (UTC) of a time, as days since 1970-01-01."""
    return now_ns // 86_400_000_000_000


def date_of(day: int) -> dt.date:
    """The date of a day."""
    return _EPOCH + dt.timedelta(days=day)


def add_usage(db: Connection, deltas: Mapping[tuple[str, str, int], Used]) -> None:
    """Count what came since the last time; by project, subject and day."""
    if not deltas:
        return
    statement = insert_by(db.dialect.name, usage_days)
    more = {name: usage_days.c[name] + statement.excluded[name] for name in _AMOUNTS}
    statement = statement.on_conflict_do_update(index_elements=["project", "subject", "day"], set_=more)
    rows = [
        {"project": project, "subject": subject, "day": day, **{name: getattr(used, name) for name in _AMOUNTS}}
        for (project, subject, day), used in sorted(deltas.items())
    ]
    db.execute(statement, rows)


def usage_of(db: Connection, project: str, subjects: Sequence[str], *, since: int, until: int) -> dict[str, Used]:
    """What each subject used from the day `since` to the day `until`, both counted; those that used nothing are left out."""
    found: dict[str, Used] = {}
    for batch in in_batches(subjects):
        query = _sums().where(usage_days.c.project == project, usage_days.c.subject.in_(batch))
        rows = db.execute(query.where(usage_days.c.day.between(since, until)).group_by(usage_days.c.subject))
        found.update({row.subject: _used(row) for row in rows})
    return found


def usage_by_day(db: Connection, project: str, subject: str, *, since: int, until: int) -> dict[int, Used]:
    """What a subject used on each day; days on which it used nothing are left out."""
    query = select(usage_days).filter_by(project=project, subject=subject).where(usage_days.c.day.between(since, until))
    return {row.day: _used(row) for row in db.execute(query.order_by(usage_days.c.day))}


def usage_by_subject(db: Connection, project: str, *, kind: str, since: int, until: int, limit: int = 1000) -> dict[str, Used]:
    """What each subject of a kind (`key`, `user`, …) used, the most expensive first."""
    query = _sums().where(usage_days.c.project == project, usage_days.c.subject.startswith(f"{kind}/", autoescape=True))
    query = query.where(usage_days.c.day.between(since, until)).group_by(usage_days.c.subject)
    rows = db.execute(query.order_by(func.sum(usage_days.c.cost).desc(), usage_days.c.subject).limit(limit))
    return {row.subject: _used(row) for row in rows}


def forget_subjects(db: Connection, project: str, subjects: Sequence[str]) -> int:
    """Erase what is kept of these subjects; how many rows."""
    mine = delete(usage_days).where(usage_days.c.project == project)
    return sum(db.execute(mine.where(usage_days.c.subject.in_(batch))).rowcount for batch in in_batches(subjects))


def _sums() -> Any:
    return select(usage_days.c.subject, *(func.sum(usage_days.c[name]).label(name) for name in _AMOUNTS))


def _used(row: Any) -> Used:
    return Used(**{name: int(getattr(row, name)) for name in _AMOUNTS})
