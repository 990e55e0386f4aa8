"""Policies: those in force, and whether a release would go through."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page, page_by
from tidemill.api.router import Router
from tidemill.core.extend import Door
from tidemill.core.json import JsonObject
from tidemill.govern.approve import check_target
from tidemill.govern.kinds import Policy
from tidemill.govern.policy import in_force
from tidemill.store.endpoints import get_endpoint
from tidemill.store.release import load_bundle

router = Router(tags=["govern"])


class PolicyQuestion(Body):
    """Whether `app` (a reference or digest) may go to `target` (`endpoint/x`, `chain/x@production`) by this door."""

    app: str
    target: str
    door: Door | None = None


def policy_json(policy: Policy) -> dict[str, Any]:
    """A policy as everyone sees it."""
    return {
        "ref": policy.version.ref,
        "name": policy.version.name,
        "digest": policy.version.digest,
        "description": policy.version.description,
        "enabled": policy.enabled,
        "protects": list(policy.protects),
        "doors": sorted(policy.doors),
        "require": list(policy.require),
        "gates": dict(policy.version.refs),
    }


@router.get("/policies")
async def list_policies(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every policy of the project as it is in force, by name; one with `enabled` false protects nothing."""
    policies = await call.platform.database.read(lambda db: in_force(db, call.project))
    found = page_by(policies, key=lambda each: each.version.name, limit=limit, cursor=cursor)
    return page([policy_json(each) for each in found.items], found.next)


@router.post("/policies:check", response_model=None)
async def check_policies(call: AnyCaller, body: PolicyQuestion) -> JsonObject:
    """What the policies would say, for whoever asks, and what is missing. Nothing is changed and nothing noted."""
    target = check_target(body.target)
    door: Door = body.door or ("deploy" if target.startswith("endpoint/") else "alias")

    def work(db: Database) -> JsonObject:
        app = get_endpoint(db, call.project, body.app).release if body.app.startswith("endpoint/") else body.app
        digest = load_bundle(db, call.project, app).release
        return call.platform.policies.decide(
            db, call.project, door=door, target=target, release=digest, who=call.who, role=call.principal.role
        ).as_json()

    return await call.platform.database.read(work)
