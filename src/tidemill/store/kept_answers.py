"""Answers of models that are kept for a while, each under the digest of what was asked.

A row names the user, the session and the trace that it came of, so that it goes with them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, LargeBinary, String, Table, delete, func, select

from tidemill.store.tables import metadata
from tidemill.store.upsert import in_batches, upsert

_AT_ONCE: Final = 2000

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("project", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("context", String, nullable=True),  # the digest of all but the last question; null: found by its key alone
    Column("vector", LargeBinary, nullable=True),  # of the last question: 32-bit little-endian floats, of length 1
    Column("user", String, nullable=True),
    Column("session", String, nullable=True),
    Column("trace", String, nullable=True),
    Column("body", LargeBinary, nullable=False),  # compressed
    Column("size", Integer, nullable=False),  # of body and vector, in bytes
    Column("cost", Float, nullable=True),  # in US dollars, of the call that made it
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Index("kept_answers_by_age", "project", "created_ns"),
    Index("kept_answers_by_end", "expires_ns"),
    Index("kept_answers_by_context", "project", "context"),
    Index("kept_answers_by_user", "project", "user"),
)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a kept answer: `cost` in US dollars is what a hit saves; `context` and `vector` are its question's."""

    project: str
    key: str
    cost: float | None
    created_ns: int
    expires_ns: int
    context: str | None = None
    vector: bytes | None = None
    user: str | None = None
    session: str | None = None
    trace: str | None = None


class KeptAnswer(Kept, frozen=True, kw_only=True):
    """One answer. `body` is as `models.cache` writes it."""

    body: bytes


def put_answers(db: Connection, answers: Sequence[KeptAnswer]) -> int:
    """Keep answers; one under the same key is replaced. How many bytes they take."""
    rows: list[Mapping[str, Any]] = []
    for each in answers:
        size = len(each.body) + len(each.vector or b"")
        rows.append({**{name: getattr(each, name) for name in KeptAnswer.__struct_fields__}, "size": size})
    upsert(db, kept_answers, rows)
    return sum(row["size"] for row in rows)


def get_answer(db: Connection, project: str, key: str, *, now_ns: int) -> KeptAnswer | None:
    """The answer under a key, None when there is none or its time is over."""
    row = db.execute(select(kept_answers).filter_by(project=project, key=key)).first()
    if row is None or row.expires_ns <= now_ns:
        return None
    return KeptAnswer(**{name: getattr(row, name) for name in KeptAnswer.__struct_fields__})


def get_answers(db: Connection, project: str, keys: Sequence[str], *, now_ns: int) -> Mapping[str, KeptAnswer]:
    """The answers under several keys whose time is not over, by key."""
    found: dict[str, KeptAnswer] = {}
    mine = select(kept_answers).filter_by(project=project).where(kept_answers.c.expires_ns > now_ns)
    for batch in in_batches(sorted(set(keys))):
        for row in db.execute(mine.where(kept_answers.c.key.in_(batch))):
            found[row.key] = KeptAnswer(**{name: getattr(row, name) for name in KeptAnswer.__struct_fields__})
    return found


def keys_of(db: Connection, project: str, *, limit: int) -> Sequence[str]:
    """The keys under which a project keeps anything, at most so many."""
    return db.execute(select(kept_answers.c.key).filter_by(project=project).limit(limit)).scalars().all()


def vectors_in(db: Connection, project: str, context: str, *, now_ns: int, limit: int) -> Sequence[tuple[str, bytes]]:
    """Key and vector of the answers in a context, the newest first."""
    query = select(kept_answers.c.key, kept_answers.c.vector).filter_by(project=project, context=context)
    query = query.where(kept_answers.c.expires_ns > now_ns, kept_answers.c.vector.is_not(None))
    return [(row.key, row.vector) for row in db.execute(query.order_by(kept_answers.c.created_ns.desc()).limit(limit))]


def purge_answers(db: Connection, *, now_ns: int, most_bytes: int) -> int:
    """Drop those whose time is over, and the oldest of each project that holds more than `most_bytes`; how many."""
    count = db.execute(delete(kept_answers).where(kept_answers.c.expires_ns <= now_ns)).rowcount
    held = func.sum(kept_answers.c.size)
    full = db.execute(select(kept_answers.c.project, held).group_by(kept_answers.c.project).having(held > most_bytes))
    for project, size in full.all():
        count += _drop_oldest(db, project, int(size) - most_bytes)
    return count


def _drop_oldest(db: Connection, project: str, surplus: int) -> int:
    count = 0
    while surplus > 0:
        query = select(kept_answers.c.key, kept_answers.c.size).filter_by(project=project)
        keys: list[str] = []
        for row in db.execute(query.order_by(kept_answers.c.created_ns, kept_answers.c.key).limit(_AT_ONCE)):
            if surplus <= 0:
                break
            keys.append(row.key)
            surplus -= row.size
        if not keys:
            break
        count += _drop(db, project, keys)
    return count


def _drop(db: Connection, project: str, keys: Sequence[str]) -> int:
    mine = delete(kept_answers).where(kept_answers.c.project == project)
    return sum(db.execute(mine.where(kept_answers.c.key.in_(batch))).rowcount for batch in in_batches(keys))


def forget_answers_of(db: Connection, project: str, what: Literal["user", "session", "trace"], values: Collection[str]) -> int:
    """Erase the answers that came of these users, sessions or traces; how many."""
    column = kept_answers.c[what]
    mine = delete(kept_answers).where(kept_answers.c.project == project)
    return sum(db.execute(mine.where(column.in_(batch))).rowcount for batch in in_batches(sorted(values)))


def clear_answers(db: Connection, project: str) -> int:
    """Drop every kept answer of a project; how many."""
    return db.execute(delete(kept_answers).where(kept_answers.c.project == project)).rowcount


def count_answers(db: Connection, project: str) -> tuple[int, int]:
    """How many answers a project keeps, and their bytes."""
    query = select(func.count(), func.coalesce(func.sum(kept_answers.c.size), 0)).where(kept_answers.c.project == project)
    row = db.execute(query).one()
    return int(row[0]), int(row[1])
