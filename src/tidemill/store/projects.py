"""Projects: the boundary of tenancy and access. One is archived, which makes it read-only, and never deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.store import audit
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import artifacts, endpoints, evaluations, keys, projects, versions

SYSTEM: Final = "_system"
"""The audit chain of what belongs to no project: which there are, people, logins. No project is called so."""
_LONGEST = 2000
_COUNTED = {"artifacts": artifacts, "versions": versions, "endpoints": endpoints, "evaluations": evaluations}


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project; `counts` is empty in a list."""

    name: str
    description: str
    created_ns: int
    created_by: str
    archived_ns: int | None = None
    counts: dict[str, int] = field(default_factory=dict[str, int])


def no_project(name: str) -> NotFound:
    """What is answered for a project that is not there, and in the same words for one that is somebody else's."""
    return NotFound(f"there is no project {name!r}", hint="List the ones that you may see: tidemill projects list")


def ensure_project(db: Connection, name: str, *, now_ns: int, by: str = "") -> bool:
    """Make a project when there is none of this name; whether it was made. Raises `Conflict` when it is archived."""
    check_name(name, what="project")
    found = db.execute(select(projects.c.archived_ns).where(projects.c.name == name)).first()
    if found is not None:
        if found.archived_ns is not None:
            raise archived(name)
        return False
    _insert(db, name, description="", now_ns=now_ns, by=by)
    return True


def create_project(db: Connection, name: str, *, description: str = "", now_ns: int, by: str) -> Project:
    """Make a project. Raises `Conflict` when there is one of this name."""
    check_name(name, what="project")
    check_description(description)
    if db.execute(select(projects.c.name).where(projects.c.name == name)).first() is not None:
        raise Conflict(f"there is a project {name!r} already", hint=f"See it: tidemill projects show {name}")
    _insert(db, name, description=description, now_ns=now_ns, by=by)
    return get_project(db, name)


def change_project(
    db: Connection, name: str, *, description: str | None = None, is_archived: bool | None = None, now_ns: int, by: str
) -> Project:
    """Describe it anew, archive it, or bring it back; what is None stays."""
    before = get_project(db, name)
    lines: list[tuple[str, JsonObject]] = []
    values: dict[str, Any] = {}
    if description is not None and description != before.description:
        values["description"] = check_description(description)
        lines.append(("project.described", {"before": before.description, "after": description}))
    if is_archived is not None and is_archived != (before.archived_ns is not None):
        values["archived_ns"] = now_ns if is_archived else None
        lines.append(("project.archived" if is_archived else "project.restored", {}))
    if values:
        db.execute(update(projects).where(projects.c.name == name).values(**values))
    for action, detail in lines:
        audit.append(db, name, who=by, action=action, target=f"project/{name}", detail=detail, now_ns=now_ns)
    return get_project(db, name)


def get_project(db: Connection, name: str) -> Project:
    """A project with its counts. Raises `NotFound`."""
    row = db.execute(select(projects).where(projects.c.name == name)).first()
    if row is None:
        raise no_project(name)
    counts = {
        noun: db.execute(select(func.count()).select_from(table).where(table.c.project == name)).scalar() or 0
        for noun, table in _COUNTED.items()
    }
    working = select(func.count()).select_from(keys).where(keys.c.project == name, keys.c.revoked_ns.is_(None))
    return _project(row, {**counts, "keys": db.execute(working).scalar() or 0})


def is_archived(db: Connection, name: str) -> bool:
    """Whether it is read-only."""
    return db.execute(select(projects.c.archived_ns).where(projects.c.name == name)).scalar() is not None


def archived_projects(db: Connection) -> frozenset[str]:
    """The names of those that are read-only: nothing starts by itself in them."""
    return frozenset(db.execute(select(projects.c.name).where(projects.c.archived_ns.is_not(None))).scalars())


def archived(name: str) -> Conflict:
    """What is said to whoever would change an archived project."""
    return Conflict(
        f"project {name!r} is archived, and read-only", hint=f"An admin brings it back: tidemill projects restore {name}"
    )


def page_of_projects(
    db: Connection, *, among: frozenset[str] | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Project]:
    """Projects by name, without counts; of some names only when `among` is given."""
    check_limit(limit)
    query = select(projects)
    if among is not None:
        query = query.where(projects.c.name.in_(sorted(among)))
    if cursor is not None:
        try:
            check_name(cursor, what="project")
        except Invalid as error:
            raise Invalid(f"cursor {cursor[:80]!r} is not one of this list") from error
        query = query.where(projects.c.name > cursor)
    rows = db.execute(query.order_by(projects.c.name).limit(limit + 1)).all()
    return make_page([_project(row) for row in rows], limit=limit, cursor_of=lambda each: each.name)


def list_projects(db: Connection) -> tuple[str, ...]:
    """Every project's name."""
    return tuple(db.execute(select(projects.c.name).order_by(projects.c.name)).scalars())


def check_description(text: str) -> str:
    """Return the text. Raises `Invalid` when it is over 2,000 characters."""
    if len(text) > _LONGEST:
        raise Invalid(f"the description has {len(text):,} characters", where="description", hint=f"Use at most {_LONGEST:,}.")
    return text


def _insert(db: Connection, name: str, *, description: str, now_ns: int, by: str) -> None:
    row = {"name": name, "description": description, "created_ns": now_ns, "created_by": by}
    db.execute(insert(projects), row)
    detail: JsonObject = {"description": description}
    audit.append(
        db, SYSTEM, who=by or "admin", action="project.created", target=f"project/{name}", detail=detail, now_ns=now_ns
    )


def _project(row: Row[Any], counts: dict[str, int] | None = None) -> Project:
    return Project(
        name=row.name,
        description=row.description,
        created_ns=row.created_ns,
        created_by=row.created_by,
        archived_ns=row.archived_ns,
        counts=counts or {},
    )
