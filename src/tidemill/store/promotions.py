"""Promotions: which release went into which environment, on what evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, String, Table, insert, select
from sqlalchemy.engine import Row

from tidemill.core.errors import NotFound
from tidemill.core.json import JsonObject
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata

promotions = Table(
    "promotions",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("project", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("root", String, nullable=False),
    Column("release", String, nullable=False),
    Column("before", String, nullable=True),
    Column("origin", String, nullable=True),
    Column("promoted_by", String, nullable=False),
    Column("why", String, nullable=False),
    Column("evidence", JSON(none_as_null=True), nullable=False),
    Column("promoted_ns", BigInteger, nullable=False),
    Index("promotions_by_environment", "project", "environment", "id"),
    Index("promotions_by_release", "project", "release", "environment"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    """`release`, of the version `root` (`chain/x@v3`), became what the application is in `environment`.

    `before` is the release that it was there until then, `origin` the environment that it came from; None where there is none.
    """

    id: str
    project: str
    environment: str
    root: str
    release: str
    before: str | None
    origin: str | None
    promoted_by: str
    why: str
    evidence: JsonObject
    promoted_ns: int


def add_promotion(db: Connection, promotion: Promotion) -> Promotion:
    """Keep a promotion."""
    db.execute(insert(promotions), {name: getattr(promotion, name) for name in Promotion.__dataclass_fields__})
    return promotion


def was_promoted(db: Connection, project: str, environment: str, release: str) -> bool:
    """Whether this release was ever promoted into the environment."""
    where = {"project": project, "release": release, "environment": environment}
    return db.execute(select(promotions.c.id).filter_by(**where).limit(1)).first() is not None


def get_promotion(db: Connection, project: str, promotion: str) -> Promotion:
    """The promotion with this id. Raises `NotFound`."""
    row = db.execute(select(promotions).filter_by(project=project, id=promotion)).first()
    if row is None:
        raise NotFound(f"there is no promotion {promotion!r} in project {project!r}", hint="List them: tidemill environments")
    return _promotion(row)


def list_promotions(
    db: Connection,
    project: str,
    *,
    environment: str | None = None,
    release: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Promotion]:
    """Promotions, newest first."""
    query = select(promotions).where(promotions.c.project == project)
    wanted = {"environment": environment, "release": release}
    query = query.filter_by(**{key: value for key, value in wanted.items() if value is not None})
    if cursor is not None:
        query = query.where(promotions.c.id < cursor)
    rows = db.execute(query.order_by(promotions.c.id.desc()).limit(check_limit(limit) + 1))
    return make_page([_promotion(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def _promotion(row: Row[Any]) -> Promotion:
    return Promotion(**{name: getattr(row, name) for name in Promotion.__dataclass_fields__})
