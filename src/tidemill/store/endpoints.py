"""Endpoints: a stable address, the release behind it now, and the ones before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, insert, select
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.extend import PolicyCheck
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit
from tidemill.store.approvals import for_release
from tidemill.store.lineage_notes import note_served
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.rollout_rows import Rollout, end_rollout, running_rollout
from tidemill.store.tables import endpoint_moves, endpoints
from tidemill.store.upsert import upsert

Action: TypeAlias = Literal["deploy", "rollback", "canary", "promote", "abort"]
_AUDITED: Mapping[Action, str] = {
    "deploy": "deploy", "rollback": "rollback",
    "canary": "rollout.started", "promote": "rollout.promoted", "abort": "rollout.aborted",
}  # fmt: skip
_REMEMBERED = 100
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointMove:
    """One change of what an endpoint serves; for `canary`, to a share of its callers."""

    action: Action
    release: str
    root: str
    by: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """`release` is the digest served now, `previous` the one that a rollback restores; `history` is newest first.

    While `rollout` runs, `release` is the stable one, and a rollback ends the rollout. It answers through the connections of
    `environment` (None: of the server's).
    """

    name: str
    release: str
    root: str
    previous: str | None
    history: tuple[EndpointMove, ...]
    updated_ns: int
    rollout: Rollout | None = None
    environment: str | None = None


def get_endpoint(db: Connection, project: str, endpoint: str) -> Endpoint:
    """The endpoint of this name (`endpoint/NAME` too). Raises `NotFound` with the nearest name."""
    name = endpoint.removeprefix("endpoint/")
    row = _row(db, project, name)
    if row is None:
        known = db.execute(select(endpoints.c.name).where(endpoints.c.project == project)).scalars().all()
        raise NotFound(f"there is no endpoint/{name} in project {project!r}", hint=did_you_mean(name, known))
    return _endpoint(db, project, row)


def list_endpoints(db: Connection, project: str) -> tuple[Endpoint, ...]:
    """Every endpoint by name."""
    rows = db.execute(select(endpoints).where(endpoints.c.project == project).order_by(endpoints.c.name)).all()
    return tuple(_endpoint(db, project, row) for row in rows)


def page_of_endpoints(db: Connection, project: str, *, limit: int = 100, cursor: str | None = None) -> Page[Endpoint]:
    """The same, a page at a time."""
    query = select(endpoints).where(endpoints.c.project == project)
    if cursor is not None:
        query = query.where(endpoints.c.name > cursor)
    rows = db.execute(query.order_by(endpoints.c.name).limit(check_limit(limit) + 1)).all()
    return make_page([_endpoint(db, project, row) for row in rows], limit=limit, cursor_of=lambda each: each.name)


def deploy(  # noqa: PLR0913  (what goes where, by whom)
    db: Connection,
    project: str,
    endpoint: str,
    *,
    release: str,
    root: str,
    policies: PolicyCheck,
    by: str,
    now_ns: int,
    role: str | None = None,
    environment: str | None = None,
) -> Endpoint:
    """Let the endpoint serve a release, when `policies` let it (`by` and `role` are those of `PolicyCheck`).

    The endpoint is made when there is none. The same release again changes nothing. It answers through the connections of
    `environment`; without one, through those that it answered through before.
    Raises `Conflict` while a rollout runs there: what it compares with must stay what it is.
    """
    name = check_name(endpoint.removeprefix("endpoint/"), what="endpoint")
    row = _row(db, project, name)
    there = environment or (None if row is None else row.environment)
    if row is not None and row.release == release and row.environment == there:
        return _endpoint(db, project, row)
    policies.check(db, project, door="deploy", target=f"endpoint/{name}", release=release, who=by, role=role)
    running = running_rollout(db, project, name)
    if running is not None:
        raise Conflict(
            f"a rollout of {running.release[:19]}… runs at endpoint/{name}",
            hint=f"End it first: tidemill rollout promote|abort endpoint/{name}",
        )
    before = [] if row is None else [*row.before, [row.release, row.root]][-_REMEMBERED:]
    at = {"name": name, "environment": there}
    return _serve(db, project, at, "deploy", release=release, root=root, before=before, by=by, now_ns=now_ns)


def rollback(
    db: Connection, project: str, endpoint: str, *, policies: PolicyCheck, by: str, now_ns: int, role: str | None = None
) -> Endpoint:
    """Undo the last change: abort the rollout that runs, else let the endpoint serve what it served before.

    Raises `Conflict` when it never served anything else.
    """
    now = get_endpoint(db, project, endpoint)
    if now.rollout is not None:
        end_rollout(db, now.rollout, status="aborted", by=by, why="rollback", now_ns=now_ns)
        note_move(db, project, now.name, "abort", release=now.release, root=now.root, by=by, now_ns=now_ns)
        return get_endpoint(db, project, now.name)
    row = _row(db, project, now.name)
    if row is None or not row.before:
        raise Conflict(
            f"endpoint/{now.name} served nothing before {now.release[:19]}…",
            hint=f"Deploy what it should serve: tidemill deploy APP --to endpoint/{now.name}",
        )
    *before, (release, root) = row.before
    policies.check(db, project, door="rollback", target=f"endpoint/{now.name}", release=release, who=by, role=role)
    at = {"name": now.name, "environment": now.environment}
    return _serve(db, project, at, "rollback", release=release, root=root, before=before, by=by, now_ns=now_ns)


def serve_promoted(db: Connection, project: str, endpoint: str, *, release: str, root: str, by: str, now_ns: int) -> Endpoint:
    """Let the endpoint serve what a rollout tried; what it served until now is what a rollback restores."""
    now = _row(db, project, endpoint)
    assert now is not None
    before = [*now.before, [now.release, now.root]][-_REMEMBERED:]
    at = {"name": endpoint, "environment": now.environment}
    return _serve(db, project, at, "promote", release=release, root=root, before=before, by=by, now_ns=now_ns)


def note_move(  # noqa: PLR0913  (every column of a move is given by name)
    db: Connection,
    project: str,
    endpoint: str,
    action: Action,
    *,
    release: str,
    root: str,
    by: str,
    now_ns: int,
    more: JsonObject | None = None,
) -> None:
    """Add a line to the endpoint's history, and to the audit, where `more` stands too."""
    move = {"project": project, "endpoint": endpoint, "action": action, "release": release, "root": root}
    db.execute(insert(endpoint_moves), {**move, "moved_by": by, "moved_ns": now_ns})
    if action in {"deploy", "promote", "rollback"}:
        stood = [
            each.id
            for each in for_release(db, project, release)
            if each.state(now_ns) == "valid" and each.is_for(f"endpoint/{endpoint}")
        ]
        note_served(db, project, endpoint, action=action, release=release, root=root, approvals=stood, now_ns=now_ns)
    detail: JsonObject = {"release": release, "root": root, **(more or {})}
    audit.append(db, project, who=by, action=_AUDITED[action], target=f"endpoint/{endpoint}", detail=detail, now_ns=now_ns)


def _row(db: Connection, project: str, name: str) -> Row[Any] | None:
    return db.execute(select(endpoints).filter_by(project=project, name=name).with_for_update()).first()


def _serve(  # noqa: PLR0913  (every column of a move is given by name)
    db: Connection,
    project: str,
    at: Mapping[str, str | None],
    action: Action,
    *,
    release: str,
    root: str,
    before: list[list[str]],
    by: str,
    now_ns: int,
) -> Endpoint:
    now = {"release": release, "root": root, "before": before, "updated_ns": now_ns}
    upsert(db, endpoints, [{"project": project, **at, **now}])
    name, environment = str(at["name"]), at["environment"]
    more: JsonObject = {} if environment is None else {"environment": environment}
    note_move(db, project, name, action, release=release, root=root, by=by, now_ns=now_ns, more=more)
    return get_endpoint(db, project, name)


def _endpoint(db: Connection, project: str, row: Row[Any]) -> Endpoint:
    query = select(endpoint_moves).filter_by(project=project, endpoint=row.name).order_by(endpoint_moves.c.id.desc())
    moves = [
        EndpointMove(action=each.action, release=each.release, root=each.root, by=each.moved_by, at_ns=each.moved_ns)
        for each in db.execute(query.limit(_SHOWN))
    ]
    return Endpoint(
        name=row.name,
        release=row.release,
        root=row.root,
        previous=row.before[-1][0] if row.before else None,
        history=tuple(moves),
        updated_ns=row.updated_ns,
        rollout=running_rollout(db, project, row.name),
        environment=row.environment,
    )
