"""Endpoints: a stable address; which release answers there, and the way back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from tidemill.api.caller import AnyCaller, Body, Page, page
from tidemill.api.releases import lock_bundle
from tidemill.api.rollouts import rollout_json
from tidemill.api.times import iso
from tidemill.core.refs import parse_ref
from tidemill.store import endpoints

router = APIRouter(tags=["endpoints"])


class Deployment(Body):
    """What to deploy: a release digest, or a reference such as `chain/handbook`."""

    app: str


def endpoint_json(endpoint: endpoints.Endpoint) -> dict[str, Any]:
    """An endpoint as everyone sees it; `history` is the newest first."""
    return {
        "name": endpoint.name,
        "ref": f"endpoint/{endpoint.name}",
        "app": endpoint.root,
        "release": endpoint.release,
        "previous": endpoint.previous,
        "rollout": None if endpoint.rollout is None else rollout_json(endpoint.rollout),
        "history": [
            {"action": each.action, "release": each.release, "app": each.root, "by": each.by, "at": iso(each.at_ns)}
            for each in endpoint.history
        ],
        "updated": iso(endpoint.updated_ns),
    }


@router.get("/endpoints")
async def list_endpoints(call: AnyCaller) -> Page:
    """Every endpoint of the project."""
    found = await call.platform.database.read(lambda db: endpoints.list_endpoints(db, call.project))
    return page([endpoint_json(each) for each in found])


@router.get("/endpoints/{name}")
async def get_endpoint(call: AnyCaller, name: str) -> dict[str, Any]:
    """One endpoint."""
    name = _name(name)
    return endpoint_json(await call.platform.database.read(lambda db: endpoints.get_endpoint(db, call.project, name)))


@router.put("/endpoints/{name}")
@router.post("/endpoints/{name}:deploy")
async def deploy(call: AnyCaller, name: str, body: Deployment) -> dict[str, Any]:
    """Put a release behind the endpoint, which is made when missing. Requests in flight end on the release they began with."""
    name = _name(name)
    bundle = await lock_bundle(call, body.app)
    now_ns = call.platform.clock.now_ns()
    endpoint = await call.platform.database.write(
        lambda db: endpoints.deploy(
            db,
            call.project,
            name,
            release=bundle.release,
            root=bundle.root.ref,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            now_ns=now_ns,
        )
    )
    await call.platform.live.refresh(call.project, name)
    return endpoint_json(endpoint)


@router.post("/endpoints/{name}:rollback")
async def rollback(call: AnyCaller, name: str) -> dict[str, Any]:
    """Undo the last change: abort the rollout that runs, else put the release before this one back."""
    name = _name(name)
    now_ns = call.platform.clock.now_ns()
    endpoint = await call.platform.database.write(
        lambda db: endpoints.rollback(
            db,
            call.project,
            name,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            now_ns=now_ns,
        )
    )
    await call.platform.live.refresh(call.project, name)
    return endpoint_json(endpoint)


def _name(name: str) -> str:
    return parse_ref(name, kind="endpoint").name
