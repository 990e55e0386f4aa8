"""Promote: the same digest, with its evidence, into another environment."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.environments import promotion_json
from tidemill.api.router import Router
from tidemill.core.records import Bundle
from tidemill.core.refs import is_digest
from tidemill.govern.promote import Asked, Promoted, Prospect, look_ahead, promote
from tidemill.store import release
from tidemill.store.endpoints import get_endpoint

router = Router(tags=["environments"])


class NewPromotion(Body):
    """What to promote: a release's digest, or a reference such as `chain/handbook@staging`, and from which environment.

    With `dry_run` nothing is changed. `elsewhere` says that the target's secrets are on another machine, so that those that are
    missing here are named and do not stop it.
    """

    app: str
    origin: str | None = Field(None, alias="from")
    why: str = Field("", max_length=2000)
    dry_run: bool = False
    elsewhere: bool = False


@router.post("/environments/{name}:promote")
async def promote_release(call: AnyCaller, name: str, body: NewPromotion) -> dict[str, Any]:
    """Let an application be this release in the environment `name`; the endpoints that follow it there serve it at once."""
    asked = Asked(
        to=name,
        by=call.who,
        own=call.platform.settings.environment,
        origin=body.origin,
        role=call.principal.role,
        why=body.why,
        elsewhere=body.elsewhere,
    )
    if body.dry_run:
        return await call.platform.database.read(lambda db: _looked(db, call, body.app, asked))
    promotion_id, now_ns = call.platform.ids.text(), call.platform.clock.now_ns()

    def work(db: Database) -> tuple[Promoted, dict[str, Any]]:
        bundle = _kept(db, call, body.app, now_ns=now_ns)
        ahead = look_ahead(db, call.project, bundle, asked)
        _check_rights(call, ahead)
        decision = _decision(db, call, ahead, asked)
        done = promote(
            db, call.project, bundle, asked, policies=call.platform.policies, promotion_id=promotion_id, now_ns=now_ns
        )
        return done, decision

    done, decision = await call.platform.database.write(work)
    for endpoint in done.deployed:
        await call.platform.live.refresh(call.project, endpoint)
    promotion = None if done.promotion is None else promotion_json(done.promotion)
    return _shown(done.prospect, decision) | {
        "moved": promotion is not None,
        "promotion": promotion,
        "deployed": list(done.deployed),
        "evidence": done.prospect.evidence if promotion is None else promotion["evidence"],
    }


def _looked(db: Database, call: Caller, app: str, asked: Asked) -> dict[str, Any]:
    ahead = look_ahead(db, call.project, release.load_bundle(db, call.project, _served(db, call, app)), asked)
    _check_rights(call, ahead)
    return _shown(ahead, _decision(db, call, ahead, asked)) | {"moved": False, "promotion": None, "deployed": []}


def _check_rights(call: Caller, ahead: Prospect) -> None:
    """What moves is the alias that bears the environment's name, and every endpoint that follows it."""
    for each in (ahead.target, *(f"endpoint/{name.removeprefix('endpoint/')}" for name in ahead.follows)):
        call.check("deploy", each)


def _decision(db: Database, call: Caller, ahead: Prospect, asked: Asked) -> dict[str, Any]:
    found = call.platform.policies.decide(
        db, call.project, door="promote", target=ahead.target, release=ahead.release, who=asked.by, role=asked.role
    )
    return dict(found.as_json())


def _kept(db: Database, call: Caller, app: str, *, now_ns: int) -> Bundle:
    named = _served(db, call, app)
    if not is_digest(named) and not named.startswith("release/"):
        named = release.make_release(db, call.project, named, now_ns=now_ns, by=call.who, signer=call.platform.sign).digest
    return release.load_bundle(db, call.project, named)


def _served(db: Database, call: Caller, app: str) -> str:
    return get_endpoint(db, call.project, app).release if app.startswith("endpoint/") else app


def _shown(ahead: Prospect, decision: dict[str, Any]) -> dict[str, Any]:
    return {
        "environment": ahead.environment.name,
        "app": ahead.root.bare,
        "root": ahead.root.ref,
        "release": ahead.release,
        "before": ahead.before,
        "from": ahead.origin,
        "compared": ahead.compared,
        "in_origin": ahead.in_origin,
        "rule": ahead.environment.origin,
        "policy": decision,
        "connections": [each.as_json() for each in ahead.differences],
        "unset": [{"connection": each.name, "model": each.model.ref} for each in ahead.unset],
        "missing": [
            {"connection": each.connection, "field": each.field, "reference": each.reference} for each in ahead.missing
        ],
        "reported": [each.as_json() for each in ahead.reported],
        "follows": list(ahead.follows),
        "evidence": ahead.evidence,
    }
