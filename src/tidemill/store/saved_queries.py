"""Filters of traces under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import NotFound
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.store import audit
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata

saved_queries = Table(
    "saved_queries",
    metadata,
    Column("project", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("filter", String, nullable=False),
    Column("description", String, nullable=False),
    Column("created_by", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("changed_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedQuery:
    """A filter as it was written, by whom first, and when it was last changed."""

    project: str
    name: str
    filter: str
    description: str
    created_by: str
    created_ns: int
    changed_ns: int


def put_saved_query(
    db: Connection,
    project: str,
    name: str,
    *,
    filter: str,  # noqa: A002  (its name)
    description: str,
    by: str,
    now_ns: int,
) -> tuple[SavedQuery, bool]:
    """Keep a filter under a name, also in the place of another; whether the name is new. Raises `Invalid` for a wrong name."""
    check_name(name, what="saved query name")
    old = _find(db, project, name)
    if old is not None and (old.filter, old.description) == (filter, description):
        return old, False
    if old is None:
        row = {
            "project": project, "name": name, "filter": filter, "description": description, "created_by": by,
            "created_ns": now_ns, "changed_ns": now_ns,
        }  # fmt: skip
        db.execute(insert(saved_queries).values(**row))
    else:
        values = {"filter": filter, "description": description, "changed_ns": now_ns}
        db.execute(update(saved_queries).filter_by(project=project, name=name).values(**values))
    detail: JsonObject = {"filter": filter, "before": None if old is None else old.filter}
    audit.append(db, project, who=by, action="saved_query.put", target=f"saved-query/{name}", detail=detail, now_ns=now_ns)
    return get_saved_query(db, project, name), old is None


def delete_saved_query(db: Connection, project: str, name: str, *, by: str, now_ns: int) -> None:
    """Take a name away. Raises `NotFound`."""
    old = get_saved_query(db, project, name)
    db.execute(delete(saved_queries).filter_by(project=project, name=name))
    detail: JsonObject = {"filter": old.filter}
    audit.append(db, project, who=by, action="saved_query.deleted", target=f"saved-query/{name}", detail=detail, now_ns=now_ns)


def get_saved_query(db: Connection, project: str, name: str) -> SavedQuery:
    """A filter by its name. Raises `NotFound`."""
    found = _find(db, project, name)
    if found is None:
        raise NotFound(f"no saved query {name[:80]!r} in project {project}", hint="Type: tidemill traces saved")
    return found


def list_saved_queries(db: Connection, project: str, *, limit: int = 100, cursor: str | None = None) -> Page[SavedQuery]:
    """By name."""
    size = check_limit(limit)
    query = select(saved_queries).filter_by(project=project).order_by(saved_queries.c.name).limit(size + 1)
    if cursor is not None:
        query = query.where(saved_queries.c.name > cursor)
    return make_page([_read(row) for row in db.execute(query)], limit=size, cursor_of=lambda each: each.name)


def _find(db: Connection, project: str, name: str) -> SavedQuery | None:
    row = db.execute(select(saved_queries).filter_by(project=project, name=name)).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row[Any]) -> SavedQuery:
    return SavedQuery(
        project=row.project,
        name=row.name,
        filter=row.filter,
        description=row.description,
        created_by=row.created_by,
        created_ns=row.created_ns,
        changed_ns=row.changed_ns,
    )
