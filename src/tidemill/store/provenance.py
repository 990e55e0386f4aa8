"""What the store knows of one release: where it served, who kept it, what was measured and decided of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from tidemill.store.evaluations import Decision, EvaluationRow, list_decisions, list_evaluations
from tidemill.store.tables import endpoint_moves, versions

_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One time that an endpoint began to serve a release."""

    endpoint: str
    action: str
    release: str
    by: str
    at_ns: int


def moves_of(db: Connection, project: str, release: str) -> tuple[Served, ...]:
    """Every move of every endpoint that ever served the release, oldest first: also those to other releases, which ended it."""
    mine = select(endpoint_moves.c.endpoint).filter_by(project=project, release=release).distinct()
    query = select(endpoint_moves).where(endpoint_moves.c.project == project, endpoint_moves.c.endpoint.in_(mine))
    return tuple(
        Served(endpoint=row.endpoint, action=row.action, release=row.release, by=row.moved_by, at_ns=row.moved_ns)
        for row in db.execute(query.order_by(endpoint_moves.c.id))
    )


def maker_of(db: Connection, project: str, digest: str) -> str:
    """Who first kept the version with this digest; empty when it is not known."""
    query = select(versions.c.created_by).filter_by(project=project, digest=digest).order_by(versions.c.created_ns)
    return str(db.execute(query.limit(1)).scalar() or "")


def evaluations_of(db: Connection, project: str, release: str) -> tuple[EvaluationRow, ...]:
    """Every evaluation of the release, oldest first."""
    found: list[EvaluationRow] = []
    cursor: str | None = None
    while True:
        page = list_evaluations(db, project, release=release, limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            return tuple(reversed(found))


def decisions_on(db: Connection, project: str, evaluations: tuple[EvaluationRow, ...]) -> tuple[Decision, ...]:
    """What gates decided on these evaluations, oldest first."""
    found = [each for row in evaluations for each in list_decisions(db, project, evaluation=row.id, limit=_PAGE)]
    return tuple(sorted(found, key=lambda each: (each.decided_ns, each.gate)))
