"""Environments: each with its rules, its connections, whether their secrets are there, and what is promoted into it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Caller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.models.needs import secrets_of
from tidemill.store import environments, promotions
from tidemill.store.config import connection_for
from tidemill.store.environments import Environment
from tidemill.store.promotions import Promotion
from tidemill.store.release import load_bundle

router = Router(tags=["environments"])


def promotion_json(found: Promotion) -> dict[str, Any]:
    """A promotion as everyone sees it."""
    return {
        "id": found.id,
        "environment": found.environment,
        "root": found.root,
        "release": found.release,
        "before": found.before,
        "from": found.origin,
        "by": found.promoted_by,
        "why": found.why,
        "evidence": found.evidence,
        "at": iso(found.promoted_ns),
    }


@router.get("/environments")
async def list_environments(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every environment of the project, by name."""
    own = call.platform.settings.environment

    def work(db: Database) -> Page:
        found = [each for each in environments.names(db, call.project, own=own) if cursor is None or each > cursor]
        items = [_shown(db, call, environments.read_environment(db, call.project, each)) for each in found[:limit]]
        return page(items, found[limit - 1] if len(found) > limit else None)

    return await call.platform.database.read(work)


@router.get("/environments/{name}")
async def get_environment(call: AnyCaller, name: str) -> dict[str, Any]:
    """One environment. `found` of a secret says whether it is there on the machine of this server."""
    own = call.platform.settings.environment
    return await call.platform.database.read(
        lambda db: _shown(db, call, environments.get_environment(db, call.project, name, own=own))
    )


@router.get("/promotions")
async def list_promotions(
    call: AnyCaller, environment: str | None = None, release: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """Promotions, the newest first; into one environment, or of one release (its digest)."""
    found = await call.platform.database.read(
        lambda db: promotions.list_promotions(
            db, call.project, environment=environment, release=release, limit=limit, cursor=cursor
        )
    )
    return page([promotion_json(each) for each in found.items], found.next)


@router.get("/promotions/{promotion}")
async def get_promotion(call: AnyCaller, promotion: str) -> dict[str, Any]:
    """One promotion, with the evidence that it rested on."""
    return promotion_json(await call.platform.database.read(lambda db: promotions.get_promotion(db, call.project, promotion)))


def _shown(db: Database, call: Caller, environment: Environment) -> dict[str, Any]:
    own = call.platform.settings.environment
    holdings = [
        {
            "app": each.root,
            "version": f"v{each.version}",
            "release": load_bundle(db, call.project, f"{each.root}@v{each.version}").release,
            "by": each.moved_by,
            "at": iso(each.moved_ns),
        }
        for each in environments.holdings(db, call.project, environment.name)
    ]
    return {
        "name": environment.name,
        "current": environment.name == own,
        "from": environment.origin,
        "protected": environment.protected,
        "description": environment.description,
        "connections": [_connection(db, call, name, environment.name) for name in _names(db, call, environment.name)],
        "promoted": holdings,
        "endpoints": list(environments.endpoints_in(db, call.project, environment.name, own=own)),
    }


def _names(db: Database, call: Caller, environment: str) -> list[str]:
    return sorted(environments.connections_in(db, call.project, environment))


def _connection(db: Database, call: Caller, name: str, environment: str) -> dict[str, Any]:
    """A connection as it may be shown: secrets by reference, headers by name."""
    found = connection_for(db, call.project, name, environment)
    assert found is not None
    return {
        "name": found.name,
        "provider": found.provider,
        "base_url": found.base_url,
        "timeout": found.timeout,
        "allow_private": found.allow_private,
        "headers": sorted(found.headers),
        "for_all": found.environment is None,
        "secrets": [{"field": each.field, "reference": each.reference, "found": each.found} for each in secrets_of(found)],
    }
