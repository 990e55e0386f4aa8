"""Endpoints: a stable address; which release answers there, and the way back."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.etags import IfMatch, Precondition, tag
from tidemill.api.releases import lock_bundle
from tidemill.api.rollouts import rollout_json
from tidemill.api.router import Router
from tidemill.api.secrets import check_secrets, environment_of
from tidemill.api.times import iso
from tidemill.core.refs import parse_ref
from tidemill.store import endpoints

router = Router(tags=["endpoints"])


class Deployment(Body):
    """What to deploy: a release digest, or a reference such as `chain/handbook`.

    It answers through the connections of `environment`; without one, of the endpoint's, and for a new one of the server's.
    """

    app: str
    environment: str | None = None


def endpoint_json(endpoint: endpoints.Endpoint) -> dict[str, Any]:
    """An endpoint as everyone sees it; `history` is the newest first."""
    return {
        "name": endpoint.name,
        "ref": f"endpoint/{endpoint.name}",
        "app": endpoint.root,
        "release": endpoint.release,
        "environment": endpoint.environment,
        "previous": endpoint.previous,
        "rollout": None if endpoint.rollout is None else rollout_json(endpoint.rollout),
        "history": [
            {"action": each.action, "release": each.release, "app": each.root, "by": each.by, "at": iso(each.at_ns)}
            for each in endpoint.history
        ],
        "updated": iso(endpoint.updated_ns),
    }


@router.get("/endpoints")
async def list_endpoints(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every endpoint of the project, by name."""
    found = await call.platform.database.read(
        lambda db: endpoints.page_of_endpoints(db, call.project, limit=limit, cursor=cursor)
    )
    return page([endpoint_json(each) for each in found.items], found.next)


@router.get("/endpoints/{name}")
async def get_endpoint(call: AnyCaller, name: str, response: Response) -> dict[str, Any]:
    """One endpoint. The tag changes with what it serves, and with its rollout."""
    name = _name(name)
    found = await call.platform.database.read(lambda db: endpoints.get_endpoint(db, call.project, name))
    response.headers["etag"] = endpoint_tag(found)
    return endpoint_json(found)


@router.put("/endpoints/{name}", operation_id="put_endpoint")
@router.post("/endpoints/{name}:deploy", operation_id="deploy_endpoint")
async def deploy(call: AnyCaller, name: str, body: Deployment, if_match: IfMatch, response: Response) -> dict[str, Any]:
    """Put a release behind the endpoint, which is made when missing. Requests in flight end on the release they began with."""
    deployed = await serve(call, _name(name), body, if_match=if_match)
    response.headers["etag"] = endpoint_tag(deployed)
    return endpoint_json(deployed)


async def serve(call: Caller, name: str, body: Deployment, *, if_match: Precondition | None = None) -> endpoints.Endpoint:
    """Deploy as the route does, for whatever acts for a caller; the endpoint as it is now."""
    bundle = await lock_bundle(call, body.app)
    there = await environment_of(call, body.environment) if body.environment else None
    await check_secrets(call, bundle.versions.values(), environment=await _environment(call, name, there))
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> endpoints.Endpoint:
        if if_match is not None:
            if_match.check_state(lambda: endpoint_tag(endpoints.get_endpoint(db, call.project, name)))
        return endpoints.deploy(
            db,
            call.project,
            name,
            release=bundle.release,
            root=bundle.root.ref,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            now_ns=now_ns,
            environment=there,
        )

    deployed = await call.platform.database.write(work)
    await call.platform.live.refresh(call.project, name)
    return deployed


@router.post("/endpoints/{name}:rollback")
async def rollback(call: AnyCaller, name: str, if_match: IfMatch, response: Response) -> dict[str, Any]:
    """Undo the last change: abort the rollout that runs, else put the release before this one back."""
    name = _name(name)
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> endpoints.Endpoint:
        if_match.check_state(lambda: endpoint_tag(endpoints.get_endpoint(db, call.project, name)))
        return endpoints.rollback(
            db,
            call.project,
            name,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            now_ns=now_ns,
        )

    return await _changed(call, await call.platform.database.write(work), response)


def endpoint_tag(endpoint: endpoints.Endpoint) -> str:
    """The tag of an endpoint in this state."""
    running = None if endpoint.rollout is None else (endpoint.rollout.id, endpoint.rollout.status, endpoint.rollout.step)
    moves = [(each.action, each.release, each.at_ns) for each in endpoint.history]
    return tag(endpoint.name, endpoint.release, endpoint.environment, endpoint.updated_ns, running, moves)


async def _changed(call: Caller, endpoint: endpoints.Endpoint, response: Response) -> dict[str, Any]:
    await call.platform.live.refresh(call.project, endpoint.name)
    response.headers["etag"] = endpoint_tag(endpoint)
    return endpoint_json(endpoint)


def _name(name: str) -> str:
    return parse_ref(name, kind="endpoint").name


async def _environment(call: Caller, name: str, wanted: str | None) -> str:
    """Whose connections the endpoint answers through when this is deployed there."""

    def work(db: Database) -> str | None:
        known = {each.name: each.environment for each in endpoints.list_endpoints(db, call.project)}
        return known.get(name)

    return wanted or await call.platform.database.read(work) or call.platform.settings.environment
