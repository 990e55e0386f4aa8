"""Rollouts: let a release take a share of an endpoint's traffic; then all of it, or none.

At most one rollout runs at an endpoint. While it runs, the endpoint still serves the stable release to the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.extend import PolicyCheck
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.store.endpoints import Endpoint, get_endpoint, note_move, serve_promoted
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.rollout_rows import (
    Rollout,
    RolloutStatus,
    RolloutStep,
    end_rollout,
    insert_rollout,
    rollout_of,
    rollouts,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Canary:
    """What is tried: a release of `root`, by which shares in turn (percent), and the secret of the hash, hexadecimal."""

    release: str
    root: str
    shares: Sequence[float]
    key: str


def start_rollout(  # noqa: PLR0913  (what is tried where, by whom)
    db: Connection,
    project: str,
    endpoint: str,
    *,
    canary: Canary,
    rollout_id: str,
    policies: PolicyCheck,
    by: str,
    now_ns: int,
    role: str | None = None,
) -> Rollout:
    """Begin, when `policies` let it: the first of the canary's shares goes to it. `by` and `role` are those of `PolicyCheck`.

    Raises `NotFound` for an endpoint that is not there, `Invalid` for a share outside 0 to 100, and `Conflict` when a rollout
    runs there already or the endpoint serves this release.
    """
    now = get_endpoint(db, project, endpoint)
    steps = tuple(RolloutStep(share=check_share(each)) for each in canary.shares)
    _check_free(now, canary.release)
    policies.check(db, project, door="rollout", target=f"endpoint/{now.name}", release=canary.release, who=by, role=role)
    rollout = Rollout(
        project=project,
        id=rollout_id,
        endpoint=now.name,
        status="running",
        release=canary.release,
        root=canary.root,
        stable_release=now.release,
        stable_root=now.root,
        steps=steps,
        key=canary.key,
        started_by=by,
        started_ns=now_ns,
    )
    insert_rollout(db, rollout)
    more: JsonObject = {"rollout": rollout_id, "share": percent(rollout.share)}
    note_move(db, project, now.name, "canary", release=rollout.release, root=rollout.root, by=by, now_ns=now_ns, more=more)
    return rollout


def promote_rollout(
    db: Connection,
    project: str,
    rollout: str,
    *,
    policies: PolicyCheck,
    by: str,
    now_ns: int,
    role: str | None = None,
    why: str = "",
) -> Rollout:
    """Let the endpoint serve the canary to all, when `policies` let it; a rollback brings the stable release back.

    `rollout` as in `get_rollout`. Raises `Conflict` when it does not run any more.
    """
    found = _running(db, project, rollout)
    policies.check(db, project, door="promote", target=f"endpoint/{found.endpoint}", release=found.release, who=by, role=role)
    end_rollout(db, found, status="promoted", by=by, why=why, now_ns=now_ns)
    serve_promoted(db, project, found.endpoint, release=found.release, root=found.root, by=by, now_ns=now_ns)
    return get_rollout(db, project, found.id)


def abort_rollout(db: Connection, project: str, rollout: str, *, by: str, now_ns: int, why: str = "") -> Rollout:
    """Bring all traffic back to the stable release, which no policy forbids. `rollout` as in `get_rollout`.

    Raises `Conflict` when it does not run any more.
    """
    found = _running(db, project, rollout)
    end_rollout(db, found, status="aborted", by=by, why=why, now_ns=now_ns)
    stable = {"release": found.stable_release, "root": found.stable_root}
    more: JsonObject = {"rollout": found.id, "tried": found.release, "why": why}
    note_move(db, project, found.endpoint, "abort", **stable, by=by, now_ns=now_ns, more=more)
    return get_rollout(db, project, found.id)


def get_rollout(db: Connection, project: str, rollout: str) -> Rollout:
    """A rollout by its id, or the last one of an endpoint (`NAME` or `endpoint/NAME`). Raises `NotFound`."""
    mine = select(rollouts).where(rollouts.c.project == project)
    row = db.execute(mine.where(rollouts.c.id == rollout)).first()
    if row is None:
        name = rollout.removeprefix("endpoint/")
        newest = (rollouts.c.started_ns.desc(), rollouts.c.id.desc())
        row = db.execute(mine.where(rollouts.c.endpoint == name).order_by(*newest).limit(1)).first()
    if row is None:
        known = db.execute(select(rollouts.c.endpoint).where(rollouts.c.project == project).distinct()).scalars().all()
        raise NotFound(
            f"there was no rollout at {rollout!r} in project {project!r}",
            hint=did_you_mean(rollout.removeprefix("endpoint/"), known)
            or "Start one: tidemill rollout start endpoint/NAME --to chain/NAME --share 10%",
        )
    return rollout_of(row)


def list_rollouts(
    db: Connection,
    project: str,
    *,
    endpoint: str | None = None,
    status: RolloutStatus | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Rollout]:
    """Rollouts, newest first."""
    query = select(rollouts).where(rollouts.c.project == project).order_by(rollouts.c.id.desc()).limit(check_limit(limit) + 1)
    if endpoint is not None:
        query = query.where(rollouts.c.endpoint == endpoint.removeprefix("endpoint/"))
    if status is not None:
        query = query.where(rollouts.c.status == status)
    if cursor is not None:
        query = query.where(rollouts.c.id < cursor)
    found = [rollout_of(row) for row in db.execute(query)]
    return make_page(found, limit=limit, cursor_of=lambda each: each.id)


def check_share(share: float) -> float:
    """Return a share in percent, or raise `Invalid` when it is not 0 to 100."""
    if not (math.isfinite(share) and 0 <= share <= 100):
        raise Invalid(f"a share of {share:g} % is not one", where="share", hint="Use 0 to 100 percent, as in 10%.")
    return float(share)


def percent(share: float) -> str:
    """`10 %`, `0.5 %`."""
    return f"{share:g} %"


def _check_free(endpoint: Endpoint, release: str) -> None:
    running, name = endpoint.rollout, endpoint.name
    if running is not None:
        raise Conflict(
            f"a rollout runs at endpoint/{name} already: {running.release[:19]}… at {percent(running.share)}",
            hint=f"End it first: tidemill rollout promote|abort endpoint/{name}",
        )
    if endpoint.release == release:
        raise Conflict(
            f"endpoint/{name} serves {release[:19]}… already", hint="Change the application and apply, then try that."
        )


def _running(db: Connection, project: str, rollout: str) -> Rollout:
    found = get_rollout(db, project, rollout)
    if found.status != "running":
        raise Conflict(
            f"the rollout at endpoint/{found.endpoint} was {found.status} already",
            hint=f"See what it serves: tidemill show endpoint/{found.endpoint}",
        )
    return found
