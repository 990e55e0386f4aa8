"""API keys: made, listed, revoked. A key's secret is shown once, when it is made."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response

from tidemill.api.caller import AnyCaller, Body, Page, page
from tidemill.api.times import iso
from tidemill.store import access

router = APIRouter(tags=["keys"])
Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]


class NewKey(Body):
    """What the key may do, and whose it is: `endpoints` names the only ones that it may call; empty means all."""

    endpoints: tuple[str, ...] = ()
    role: Role = "developer"
    person: str | None = None


@router.get("/keys")
async def list_keys(call: AnyCaller) -> Page:
    """Every key of the project, without secrets."""
    return page([_key_json(each) for each in await call.platform.database.read(lambda db: access.list_keys(db, call.project))])


@router.post("/keys", status_code=201)
async def create_key(call: AnyCaller, body: NewKey) -> dict[str, Any]:
    """Make a key. `key` in the answer is shown only now."""
    now_ns = call.platform.clock.now_ns()
    key_id, secret = await call.platform.database.write(
        lambda db: access.create_key(
            db,
            call.project,
            endpoints=body.endpoints or None,
            role=body.role,
            person=body.person,
            by=call.who,
            now_ns=now_ns,
        )
    )
    told = {"endpoints": body.endpoints, "role": body.role, "person": body.person}
    return {"id": key_id, "key": secret, "project": call.project, **told}


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(call: AnyCaller, key_id: str) -> Response:
    """Revoke a key; it stops working at once."""
    now_ns = call.platform.clock.now_ns()
    await call.platform.database.write(lambda db: access.revoke_key(db, call.project, key_id, now_ns=now_ns, by=call.who))
    return Response(status_code=204)


def _key_json(key: access.Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "person": key.person,
        "endpoints": list(key.endpoints or ()),
        "created": iso(key.created_ns),
        "revoked": key.revoked_ns is not None,
    }
