"""Versions that were deleted and are kept for a while: rows out of the way of every reader, until restored or purged.

A deleted version's row is moved here whole, so that whoever reads `versions` sees only what exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    delete,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Row

from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import artifacts, metadata, versions

_JSON = JSON(none_as_null=True)

deleted_versions = Table(
    "deleted_versions",
    metadata,
    Column("project", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String, nullable=False),
    Column("spec", _JSON, nullable=False),
    Column("refs", _JSON, nullable=False),
    Column("blobs", _JSON, nullable=False),
    Column("description", String, nullable=False),
    Column("tags", _JSON, nullable=False),
    Column("owner", String, nullable=False),
    Column("hermetic", Boolean, nullable=False),
    Column("created_by", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("deleted_by", String, nullable=False),
    Column("deleted_ns", BigInteger, nullable=False),
    Column("why", String, nullable=False),
    Column("was_latest", Boolean, nullable=False),
    Index("deleted_versions_by_digest", "project", "digest"),
)
_SHARED = [column.name for column in versions.columns]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deleted:
    """A deleted version, and who deleted it, when and why. `was_latest`: it was its artifact's latest then."""

    version: Version
    deleted_by: str
    deleted_ns: int
    why: str
    was_latest: bool


def move_away(db: Connection, version: Version, *, by: str, now_ns: int, why: str, was_latest: bool) -> None:
    """Take a version out of the way of every reader."""
    at = _at(version.project, version.kind, version.name, version.number)
    told = [literal(by), literal(now_ns, BigInteger), literal(why), literal(was_latest, Boolean)]
    rows = select(*(versions.c[name] for name in _SHARED), *told).filter_by(**at)
    names = [*_SHARED, "deleted_by", "deleted_ns", "why", "was_latest"]
    db.execute(insert(deleted_versions).from_select(names, rows))
    db.execute(delete(versions).filter_by(**at))
    _count(db, version, 1)


def move_back(db: Connection, version: Version) -> None:
    """Let every reader see a deleted version again, under its old number."""
    at = _at(version.project, version.kind, version.name, version.number)
    rows = select(*(deleted_versions.c[name] for name in _SHARED)).filter_by(**at)
    db.execute(insert(versions).from_select(_SHARED, rows))
    db.execute(delete(deleted_versions).filter_by(**at))
    _count(db, version, -1)


def forget(db: Connection, version: Version) -> None:
    """Remove a deleted version for good. Its number is never given again."""
    db.execute(delete(deleted_versions).filter_by(**_at(version.project, version.kind, version.name, version.number)))
    _count(db, version, -1)


def find_deleted(db: Connection, project: str, ref: Ref) -> list[Deleted]:
    """The deleted versions that `ref` names by number or digest, newest first; without a version, all of the artifact."""
    query = select(deleted_versions).filter_by(project=project, kind=ref.kind, name=ref.name)
    if ref.number is not None:
        query = query.filter_by(number=ref.number)
    elif ref.digest is not None:
        query = query.filter_by(digest=ref.digest)
    elif ref.version is not None:
        return []
    return [_deleted(row) for row in db.execute(query.order_by(deleted_versions.c.number.desc()))]


def deleted_with(db: Connection, project: str, digest: str, *, kind: str) -> list[Deleted]:
    """The deleted versions of a kind with this content, under whatever name."""
    query = select(deleted_versions).filter_by(project=project, digest=digest, kind=kind)
    return [_deleted(row) for row in db.execute(query.order_by(deleted_versions.c.name))]


def list_deleted(
    db: Connection, project: str, *, kind: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Deleted]:
    """Deleted versions by kind, name and number."""
    table = deleted_versions
    query = select(table).where(table.c.project == project)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if cursor is not None:
        after = parse_ref(cursor)
        if after.number is None:
            raise Invalid(f"cursor {cursor!r} is not one of this list")
        query = query.where(tuple_(table.c.kind, table.c.name, table.c.number) > tuple_(after.kind, after.name, after.number))
    rows = db.execute(query.order_by(table.c.kind, table.c.name, table.c.number).limit(check_limit(limit) + 1))
    return make_page([_deleted(row) for row in rows], limit=limit, cursor_of=lambda each: each.version.ref)


def deleted_before(db: Connection, before_ns: int, *, limit: int) -> Sequence[Deleted]:
    """Versions of every project that were deleted before this time, the oldest first."""
    query = select(deleted_versions).where(deleted_versions.c.deleted_ns < before_ns)
    order = (deleted_versions.c.deleted_ns, *(deleted_versions.c[name] for name in ("project", "kind", "name", "number")))
    return [_deleted(row) for row in db.execute(query.order_by(*order).limit(limit))]


def _count(db: Connection, version: Version, change: int) -> None:
    where = {"project": version.project, "kind": version.kind, "name": version.name}
    db.execute(update(artifacts).filter_by(**where).values(deleted=artifacts.c.deleted + change))


def _at(project: str, kind: str, name: str, number: int) -> dict[str, Any]:
    return {"project": project, "kind": kind, "name": name, "number": number}


def _deleted(row: Row[Any]) -> Deleted:
    names = ("project", "kind", "name", "number", "digest", "spec", "refs", "blobs")
    outside = ("description", "tags", "owner", "created_ns")
    return Deleted(
        version=Version(**{name: getattr(row, name) for name in (*names, *outside)}),
        deleted_by=row.deleted_by,
        deleted_ns=row.deleted_ns,
        why=row.why,
        was_latest=row.was_latest,
    )
