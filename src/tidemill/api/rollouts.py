"""Rollouts: a release takes a share of an endpoint's traffic; then all of it, or none."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final

from fastapi import Response
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.etags import IfMatch, Precondition, tag, tag_beside
from tidemill.api.releases import lock_bundle
from tidemill.api.rollout_status import variants_json
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Invalid
from tidemill.core.refs import parse_ref
from tidemill.store import rollouts
from tidemill.store.rollout_rows import Rollout, RolloutStatus

router = Router(tags=["rollouts"])
_KEY_BYTES: Final = 16


class NewRollout(Body):
    """What to try where: `share` of the endpoint's traffic, in percent (`10` or `"10%"`), goes to `app`."""

    endpoint: str
    app: str
    share: Annotated[float, Field(ge=0, le=100)] | Annotated[str, Field(max_length=40)]


class Ending(Body):
    """Why a rollout ends so, for those who read it later."""

    why: str = Field("", max_length=2000)


def rollout_json(found: Rollout) -> dict[str, Any]:
    """A rollout as everyone sees it. Shares are in percent; `step` counts from 1."""
    return {
        "id": found.id,
        "endpoint": found.endpoint,
        "status": found.status,
        "canary": {"release": found.release, "app": found.root},
        "stable": {"release": found.stable_release, "app": found.stable_root},
        "share": found.share,
        "steps": [{"share": each.share} for each in found.steps],
        "step": found.step + 1,
        "started": iso(found.started_ns),
        "started_by": found.started_by,
        "ended": iso(found.ended_ns),
        "ended_by": found.ended_by or None,
        "why": found.why,
    }


@router.get("/rollouts")
async def list_rollouts(
    call: AnyCaller,
    endpoint: str | None = None,
    status: RolloutStatus | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """The newest first."""
    found = await call.platform.database.read(
        lambda db: rollouts.list_rollouts(db, call.project, endpoint=endpoint, status=status, limit=limit, cursor=cursor)
    )
    return page([rollout_json(each) for each in found.items], found.next)


@router.post("/rollouts", status_code=201)
async def start_rollout(call: AnyCaller, body: NewRollout) -> dict[str, Any]:
    """Let a share of the callers have another release from the next request on. The rest keep what they have."""
    endpoint, share = parse_ref(body.endpoint, kind="endpoint").name, parse_share(body.share)
    call.check("deploy", f"endpoint/{endpoint}")
    bundle = await lock_bundle(call, body.app)
    now_ns, rollout_id = call.platform.clock.now_ns(), call.platform.ids.text()
    key = secrets.token_hex(_KEY_BYTES)
    canary = rollouts.Canary(release=bundle.release, root=bundle.root.ref, shares=[share], key=key)
    started = await call.platform.database.write(
        lambda db: rollouts.start_rollout(
            db,
            call.project,
            endpoint,
            canary=canary,
            rollout_id=rollout_id,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            now_ns=now_ns,
        )
    )
    await call.platform.live.refresh(call.project, endpoint)
    return rollout_json(started)


@router.get("/rollouts/{rollout}")
async def get_rollout(call: AnyCaller, rollout: str, response: Response) -> dict[str, Any]:
    """A rollout by its id, or the last one of an endpoint by its name, with how each variant does."""
    found = await call.platform.database.read(lambda db: rollouts.get_rollout(db, call.project, rollout))
    variants = await variants_json(call.platform, found)
    response.headers["etag"] = tag_beside(_tag(found), variants)
    return rollout_json(found) | variants


@router.post("/rollouts/{rollout}:promote")
async def promote_rollout(call: AnyCaller, rollout: str, if_match: IfMatch, body: Ending | None = None) -> dict[str, Any]:
    """All callers get the canary from the next request on; a rollback of the endpoint brings the stable release back."""
    now_ns, why = call.platform.clock.now_ns(), (body or Ending()).why  # pyright: ignore[reportCallIssue]  (pydantic's default)
    await _check_ending(call, rollout)

    def work(db: Database) -> Rollout:
        _check_seen(db, call, rollout, if_match)
        return rollouts.promote_rollout(
            db,
            call.project,
            rollout,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            why=why,
            now_ns=now_ns,
        )

    return await _ended(call, await call.platform.database.write(work))


@router.post("/rollouts/{rollout}:abort")
async def abort_rollout(call: AnyCaller, rollout: str, if_match: IfMatch, body: Ending | None = None) -> dict[str, Any]:
    """All callers get the stable release from the next request on."""
    now_ns, why = call.platform.clock.now_ns(), (body or Ending()).why  # pyright: ignore[reportCallIssue]  (the same)
    await _check_ending(call, rollout)

    def work(db: Database) -> Rollout:
        _check_seen(db, call, rollout, if_match)
        return rollouts.abort_rollout(db, call.project, rollout, by=call.who, why=why, now_ns=now_ns)

    return await _ended(call, await call.platform.database.write(work))


def _check_seen(db: Database, call: Caller, rollout: str, if_match: Precondition) -> None:
    if_match.check_state(lambda: _tag(rollouts.get_rollout(db, call.project, rollout)))


def _tag(found: Rollout) -> str:
    return tag(found.id, found.status, found.step, found.share, found.ended_ns)


async def _check_ending(call: Caller, rollout: str) -> None:
    found = await call.platform.database.read(lambda db: rollouts.get_rollout(db, call.project, rollout))
    call.check("deploy", f"endpoint/{found.endpoint}")


def parse_share(given: float | str) -> float:
    """A share in percent, of a number or of text such as `10%`. Raises `Invalid`."""
    if isinstance(given, str):
        try:
            given = float(given.strip().removesuffix("%"))
        except ValueError as error:
            raise Invalid(f"{given[:40]!r} is not a share", where="share", hint="Write percent, as in 10%.") from error
    return rollouts.check_share(given)


async def _ended(call: Caller, rollout: Rollout) -> dict[str, Any]:
    await call.platform.live.refresh(call.project, rollout.endpoint)
    return rollout_json(rollout)
