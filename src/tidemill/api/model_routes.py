"""Routes to several models, as they stand in this server: breakers, latencies, shares."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store import registry

router = Router(tags=["models"])


@router.get("/routes")
async def list_routes(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The project's routes, each with its strategy and its targets."""
    found = await call.platform.database.read(
        lambda db: registry.list_artifacts(db, call.project, kind="route", limit=limit, cursor=cursor)
    )
    return page([_summary(each.latest) for each in found.items], found.next)


@router.get("/routes/{name}")
async def get_route(call: AnyCaller, name: str, environment: str | None = None) -> dict[str, Any]:
    """A route with what this server has seen of each target since it began: `process` says which server that is."""

    def read(db: Database) -> Version:
        return registry.get_version(db, call.project, parse_ref(name, kind="route"))

    platform = call.platform
    version = await platform.database.read(read)
    here = environment or platform.settings.environment
    seen = await platform.routes.show(version, project=call.project, environment=here)
    return {"ref": version.ref, "process": platform.process, "environment": here, **seen}


def _summary(version: Version) -> dict[str, Any]:
    targets: Any = version.spec["targets"]
    return {
        "ref": version.ref,
        "description": version.description,
        "strategy": version.spec.get("strategy", "ordered"),
        "targets": [str(each["model"]) for each in targets],
    }
