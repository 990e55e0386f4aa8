"""Approvals: a person's word that one digest may go somewhere, with role, reason and an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.store import audit
from tidemill.store.lineage_notes import note_approval
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata

State: TypeAlias = Literal["valid", "expired", "revoked"]

approvals = Table(
    "approvals",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("project", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("root", String, nullable=False),
    Column("who", String, nullable=False),
    Column("role", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("target", String, nullable=False),  # empty: anywhere
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=True),
    Column("revoked_ns", BigInteger, nullable=True),
    Column("revoked_by", String, nullable=True),
    Index("approvals_by_digest", "project", "digest", "id"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """`who` (`person/ana`) approved `digest` in a `role`, for `target` (empty: anywhere); `expires_ns` None: without end.

    `root` says what the digest is of, as in `chain/handbook@v3`; it is a label only.
    """

    id: str
    project: str
    digest: str
    root: str
    who: str
    role: str
    reason: str
    target: str = ""
    created_ns: int = 0
    expires_ns: int | None = None
    revoked_ns: int | None = None
    revoked_by: str | None = None

    def state(self, now_ns: int) -> State:
        """Whether it holds at this time."""
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.expires_ns is not None and self.expires_ns <= now_ns else "valid"

    def is_for(self, target: str) -> bool:
        """Whether it speaks of this target."""
        return self.target in {"", target}


def add_approval(db: Connection, approval: Approval) -> Approval:
    """Keep an approval. Raises `Conflict` when the same person's for the same digest, role and target holds already."""
    for each in for_release(db, approval.project, approval.digest):
        same = (each.who, each.role, each.target) == (approval.who, approval.role, approval.target)
        if same and each.state(approval.created_ns) == "valid":
            raise Conflict(
                f"{approval.who} approved {approval.digest[:19]}… as {approval.role} already: {each.id}",
                hint=f"To say it anew, revoke that one first: tidemill approvals revoke {each.id}",
            )
    db.execute(insert(approvals), {name: getattr(approval, name) for name in Approval.__dataclass_fields__})
    of = {"digest": approval.digest, "root": approval.root}
    note_approval(db, approval.project, approval.id, **of, now_ns=approval.created_ns)
    detail = {"approval": approval.id, "role": approval.role, "reason": approval.reason, "root": approval.root}
    audit.append(
        db,
        approval.project,
        who=approval.who,
        action="approval.given",
        target=approval.digest,
        detail=detail | {"for": approval.target, "expires_ns": approval.expires_ns},
        now_ns=approval.created_ns,
    )
    return approval


def revoke_approval(db: Connection, project: str, approval: str, *, by: str, now_ns: int, why: str = "") -> Approval:
    """Take an approval back; one that is revoked already stays as it is. Raises `NotFound`."""
    found = get_approval(db, project, approval)
    if found.revoked_ns is not None:
        return found
    db.execute(update(approvals).where(approvals.c.id == found.id).values(revoked_ns=now_ns, revoked_by=by))
    detail = {"approval": found.id, "given_by": found.who, "why": why}
    audit.append(db, project, who=by, action="approval.revoked", target=found.digest, detail=detail, now_ns=now_ns)
    return get_approval(db, project, found.id)


def get_approval(db: Connection, project: str, approval: str) -> Approval:
    """The approval with this id, or the only one whose id begins so (8 characters or more). Raises `NotFound`."""
    mine = select(approvals).where(approvals.c.project == project)
    row = db.execute(mine.where(approvals.c.id == approval)).first()
    if row is None and len(approval) >= 8:
        rows = db.execute(mine.where(approvals.c.id.startswith(approval, autoescape=True)).limit(2)).all()
        if len(rows) > 1:
            raise Conflict(f"several approvals begin with {approval!r}", hint="Write more of the id.")
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"there is no approval {approval!r} in project {project!r}", hint="List them: tidemill approvals list")
    return _approval(row)


def for_release(db: Connection, project: str, digest: str) -> tuple[Approval, ...]:
    """Every approval of this digest, oldest first, also those that expired or were revoked (see `Approval.state`)."""
    query = select(approvals).where(approvals.c.project == project, approvals.c.digest == digest)
    return tuple(_approval(row) for row in db.execute(query.order_by(approvals.c.id)))


def list_approvals(
    db: Connection,
    project: str,
    *,
    digest: str | None = None,
    who: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Approval]:
    """Approvals, newest first."""
    check_limit(limit)
    query = select(approvals).where(approvals.c.project == project)
    if digest is not None:
        query = query.where(approvals.c.digest == digest)
    if who is not None:
        query = query.where(approvals.c.who == who)
    if cursor is not None:
        query = query.where(approvals.c.id < cursor)
    rows = db.execute(query.order_by(approvals.c.id.desc()).limit(limit + 1))
    return make_page([_approval(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def _approval(row: Row[Any]) -> Approval:
    return Approval(**{name: getattr(row, name) for name in Approval.__dataclass_fields__})
