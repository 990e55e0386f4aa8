"""Answers kept for a day under the `Idempotency-Key` of their request, so that a repeated request is not carried out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    and_,
    delete,
    insert,
    select,
    update,
)

from tidemill.store.processes import processes
from tidemill.store.tables import metadata

KEPT_NS: Final = 24 * 3600 * 1_000_000_000
"""How long an answer is kept."""

answers = Table(
    "idempotent_answers",
    metadata,
    Column("project", String, primary_key=True),  # as the path has it; empty outside of projects
    Column("principal", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),  # SHA-256 of method, address and body
    Column("process", String, nullable=False),  # which one carries it out
    Column("status", Integer, nullable=True),  # None while it is carried out
    Column("content_type", String, nullable=False),
    Column("location", String, nullable=False),
    Column("etag", String, nullable=False),
    Column("body", LargeBinary, nullable=True),  # None: it held a secret, or was too large to keep
    Column("created_ns", BigInteger, nullable=False),
    Column("asked", JSON(none_as_null=True), nullable=False, server_default="[]"),  # rights and their targets
    Index("idempotent_answers_by_age", "created_ns"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Whose key it is, and of which request."""

    project: str
    principal: str
    key: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer that was given. `body` is None when it held a secret or was too large, so that only the fact is kept.

    `asked` are the rights that were asked while it was made, each with its target, beside the route's own.
    """

    status: int
    content_type: str
    location: str
    etag: str
    body: bytes | None
    created_ns: int
    asked: tuple[tuple[str, str], ...] = ()


Claim: TypeAlias = Answer | Literal["mine", "busy", "other"]
"""`mine`: carry it out. `busy`: it is being carried out. `other`: the key names another request."""


def claim(db: Connection, slot: Slot, *, process: str, is_shared: bool, now_ns: int) -> Claim:
    """Begin a request, or say what became of it. `is_shared`: other processes may serve the same database.

    `process` is this one, as `tidemill.store.processes` has it. A request whose process was killed is begun again: at once when
    nobody else can be carrying it out, else once that process is known to be dead, which takes seconds. It may have been
    carried out all the same, for an answer is kept after the change, not with it.
    """
    at = _at(slot)
    row = db.execute(select(answers).where(at).with_for_update()).first()
    if row is not None and 0 <= now_ns - row.created_ns < KEPT_NS:
        if row.fingerprint != slot.fingerprint:
            return "other"
        if row.status is not None:
            return Answer(
                status=row.status, content_type=row.content_type, location=row.location, etag=row.etag, body=row.body,
                created_ns=row.created_ns, asked=tuple((right, target) for right, target in row.asked),
            )  # fmt: skip
        if row.process == process or (is_shared and _is_alive(db, row.process)):
            return "busy"
    db.execute(delete(answers).where(at))
    begun: dict[str, Any] = {"process": process, "status": None, "body": None, "asked": []}
    begun |= {"content_type": "", "location": "", "etag": ""}
    named = {"project": slot.project, "principal": slot.principal, "key": slot.key, "fingerprint": slot.fingerprint}
    db.execute(insert(answers), {**named, **begun, "created_ns": now_ns})
    return "mine"


def keep(db: Connection, slot: Slot, answer: Answer, *, process: str) -> None:
    """Keep the answer of a request that this process began, unless another took this one for dead and began it anew."""
    values = {
        "status": answer.status, "content_type": answer.content_type, "location": answer.location, "etag": answer.etag,
        "body": answer.body, "asked": [list(each) for each in answer.asked],
    }  # fmt: skip
    db.execute(update(answers).where(_at(slot), answers.c.process == process).values(values))


def forget(db: Connection, slot: Slot, *, process: str) -> None:
    """The request changed nothing: the next one with its key is carried out."""
    db.execute(delete(answers).where(_at(slot), answers.c.process == process, answers.c.status.is_(None)))


def purge(db: Connection, *, now_ns: int) -> int:
    """Drop what is older than a day; how many."""
    return db.execute(delete(answers).where(answers.c.created_ns < now_ns - KEPT_NS)).rowcount


def _is_alive(db: Connection, process: str) -> bool:
    return db.execute(select(processes.c.id).where(processes.c.id == process)).first() is not None


def _at(slot: Slot) -> ColumnElement[bool]:
    return and_(answers.c.project == slot.project, answers.c.principal == slot.principal, answers.c.key == slot.key)
