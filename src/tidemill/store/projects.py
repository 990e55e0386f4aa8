"""Projects: the boundary of tenancy and access."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from tidemill.core.refs import check_name
from tidemill.store.tables import projects


def ensure_project(db: Connection, name: str, *, now_ns: int) -> bool:
    """Make a project when there is none of this name; whether it was made."""
    check_name(name, what="project")
    if db.execute(select(projects.c.name).where(projects.c.name == name)).first() is not None:
        return False
    db.execute(insert(projects), {"name": name, "created_ns": now_ns})
    return True


def list_projects(db: Connection) -> tuple[str, ...]:
    """Every project's name."""
    return tuple(db.execute(select(projects.c.name).order_by(projects.c.name)).scalars())
