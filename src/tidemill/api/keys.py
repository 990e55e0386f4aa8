"""API keys: made, listed, rotated, revoked. A key's secret is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import Field
from sqlalchemy import Connection

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.etags import IfMatch, tag, tag_beside
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.api.usage import usage_of_keys
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Denied
from tidemill.core.json import dump_json
from tidemill.models.limits.rules import read_limits
from tidemill.store import access, key_limits
from tidemill.store.grants import RIGHTS, Right, in_order

router = Router(tags=["keys"])
Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]
Duration = Annotated[str, Field(max_length=40)]


class NewKey(Body):
    """What the key may do, and whose it is.

    `endpoints` names the only ones that it may call, empty means all; `may` narrows what the role may do, None means all of it;
    `expires` is how long it works, as in `30d`. `models` names the only models (and routes) that it may call by name, `limits`
    is as in a document of `kind: limits`, `team` the one whose limits hold for it, too.
    """

    endpoints: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    role: Role = "developer"
    person: Annotated[str, Field(max_length=128)] | None = None
    may: Annotated[tuple[Right, ...], Field(min_length=1, max_length=7)] | None = None
    expires: Duration | None = None
    models: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    limits: dict[str, Any] | None = None
    team: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")] | None = None


class KeyChange(Body):
    """The key's limits from now on; None: none of its own."""

    limits: dict[str, Any] | None


class Rotation(Body):
    """How long the old key works beside the new one, as in `1h`; by default not at all."""

    overlap: Duration = "0s"


@router.get("/keys")
async def list_keys(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every key, without secrets, oldest first; `used` is to the minute, `month` what it used this month (UTC)."""
    found = await call.platform.database.read(lambda db: access.page_of_keys(db, call.project, limit=limit, cursor=cursor))
    now_ns = call.platform.entry.now_ns()
    used = await usage_of_keys(call, [each.id for each in found.items])
    return page([_key_json(each, now_ns=now_ns) | {"month": used[each.id]} for each in found.items], found.next)


@router.get("/keys/{key_id}")
async def get_key(call: AnyCaller, key_id: str, response: Response) -> dict[str, Any]:
    """One key, without its secret."""
    found = await call.platform.database.read(lambda db: access.get_key(db, call.project, key_id))
    now_ns = call.platform.entry.now_ns()
    response.headers["etag"] = tag_beside(_tag(found, now_ns=now_ns), found.used_ns)
    return _key_json(found, now_ns=now_ns)


@router.post("/keys", status_code=201)
async def create_key(response: Response, call: AnyCaller, body: NewKey) -> dict[str, Any]:
    """Make a key that may no more than its maker. `key` in the answer is shown only now."""
    response.headers["cache-control"] = "no-store"
    now_ns = call.platform.entry.now_ns()
    expires_ns = None if body.expires is None else now_ns + round(parse_duration(body.expires, what="expires") * 1e9)
    wanted = RIGHTS[body.role] if body.may is None else RIGHTS[body.role] & set(body.may)
    check_no_more(call, wanted, to=body.person)
    limits = None if body.limits is None else read_limits(body.limits, where="limits") or None

    def work(db: Connection) -> tuple[access.Key, str]:
        key_id, secret = access.create_key(
            db,
            call.project,
            endpoints=body.endpoints or None,
            role=body.role,
            person=body.person,
            may=body.may,
            expires_ns=expires_ns,
            models=body.models or None,
            limits=limits,
            team=body.team,
            by=call.who,
            now_ns=now_ns,
        )
        return access.get_key(db, call.project, key_id), secret

    key, secret = await call.platform.database.write(work)
    return _made(key, secret, now_ns=now_ns)


@router.patch("/keys/{key_id}")
async def change_key(call: AnyCaller, key_id: str, if_match: IfMatch, body: KeyChange) -> dict[str, Any]:
    """Give a key other limits. What it used counts on; calls that are under way are not stopped."""
    now_ns = call.platform.entry.now_ns()
    limits = None if body.limits is None else read_limits(body.limits, where="limits") or None

    def work(db: Connection) -> access.Key:
        if_match.check_state(lambda: _tag(access.get_key(db, call.project, key_id), now_ns=now_ns))
        return key_limits.change_key(db, call.project, key_id, limits=limits, now_ns=now_ns, by=call.who)

    return _key_json(await call.platform.database.write(work), now_ns=now_ns)


@router.post("/keys/{key_id}:rotate", status_code=201)
async def rotate_key(
    response: Response, call: AnyCaller, key_id: str, if_match: IfMatch, body: Rotation | None = None
) -> dict[str, Any]:
    """Make a key that may the same, and end this one after the overlap. `key` in the answer is shown only now."""
    response.headers["cache-control"] = "no-store"
    now_ns = call.platform.entry.now_ns()
    overlap = parse_duration((body or Rotation()).overlap, what="overlap")

    def work(db: Connection) -> tuple[access.Key, str]:
        old = access.get_key(db, call.project, key_id)
        if_match.check_state(lambda: _tag(old, now_ns=now_ns))
        check_no_more(call, RIGHTS[old.role] if old.rights is None else RIGHTS[old.role] & old.rights, to=old.person)
        return access.rotate_key(db, call.project, key_id, overlap_ns=round(overlap * 1e9), now_ns=now_ns, by=call.who)

    key, secret = await call.platform.database.write(work)
    return _made(key, secret, now_ns=now_ns) | {"replaces": key_id}


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(call: AnyCaller, key_id: str, if_match: IfMatch) -> Response:
    """Revoke a key; it stops working at once."""
    now_ns = call.platform.entry.now_ns()

    def work(db: Connection) -> None:
        if_match.check_state(lambda: _tag(access.get_key(db, call.project, key_id), now_ns=now_ns))
        access.revoke_key(db, call.project, key_id, now_ns=now_ns, by=call.who)

    await call.platform.database.write(work)
    return Response(status_code=204)


def _tag(key: access.Key, *, now_ns: int) -> str:
    limits = None if key.limits is None else dump_json(key.limits).decode()
    return tag(key.id, key.state(now_ns), key.revoked_ns, key.expires_ns, limits)


def check_no_more(call: Caller, wanted: frozenset[Right], *, to: str | None = None) -> None:
    """Raise `Denied` when somebody would give away, to `to` or to nobody in particular, what they may not do themselves."""
    beyond = [each for each in in_order(wanted) if not call.principal.may_hand_on(each, to=to)]
    if beyond:
        raise Denied(
            f"{call.who} may not {' or '.join(beyond)} here, and cannot let others do it", hint="Ask an admin of the project."
        )


def _made(key: access.Key, secret: str, *, now_ns: int) -> dict[str, Any]:
    return _key_json(key, now_ns=now_ns) | {"key": secret, "project": key.project}


def _key_json(key: access.Key, *, now_ns: int) -> dict[str, Any]:
    return {
        "id": key.id,
        "role": key.role,
        "person": key.person,
        "endpoints": list(key.endpoints or ()),
        "models": list(key.models or ()),
        "limits": key.limits or {},
        "team": key.team,
        "may": None if key.rights is None else in_order(key.rights),
        "created": iso(key.created_ns),
        "expires": iso(key.expires_ns),
        "used": iso(key.used_ns),
        "state": key.state(now_ns),
        "revoked": key.revoked_ns is not None,
    }
