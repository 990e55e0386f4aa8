"""People and service accounts, of all projects: who there is, and letting them in or out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Response
from pydantic import Field
from sqlalchemy import Connection

from tidemill.api.access import grant_json
from tidemill.api.caller import Administrator, Body, Limit, Page, page
from tidemill.api.etags import IfMatch, tag, tag_beside
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.store import members, sessions
from tidemill.store.grants import Grant
from tidemill.store.members import Member

outside = Router(tags=["access"])
Email = Annotated[str, Field(max_length=254)]


class NewPerson(Body):
    """Somebody to be known; `service` makes it an account for a program, which does not log in."""

    name: Annotated[str, Field(max_length=128)]
    email: Email = ""
    service: bool = False


class PersonChange(Body):
    """What is to be different; what is left out stays."""

    email: Email | None = None
    disabled: bool | None = None


@outside.get("/people")
async def list_people(call: Administrator, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Everybody, by name."""
    found = await call.platform.database.read(lambda db: members.list_members(db, limit=limit, cursor=cursor))
    return page([_person_json(each) for each in found.items], found.next)


@outside.post("/people", status_code=201)
async def add_person(call: Administrator, body: NewPerson) -> dict[str, Any]:
    """Add somebody. The roles of keys that bear the name already are granted to them, so that those keys keep working."""
    now_ns = call.platform.clock.now_ns()
    member, granted = await call.platform.database.write(
        lambda db: members.add_member(db, body.name, email=body.email, is_service=body.service, now_ns=now_ns, by=call.who)
    )
    return _person_json(member) | {"grants": [grant_json(each) for each in granted]}


@outside.get("/people/{name}")
async def show_person(call: Administrator, name: str, response: Response) -> dict[str, Any]:
    """Somebody, and what is granted and denied to them in every project."""

    def work(db: Connection) -> tuple[Member, tuple[Grant, ...]]:
        found = members.get_member(db, name)
        standing = members.standing_of(db, name)
        return found, () if standing is None else standing.grants

    member, rules = await call.platform.database.read(work)
    shown = [grant_json(each) for each in rules]
    response.headers["etag"] = tag_beside(_tag(member), shown)
    return _person_json(member) | {"grants": shown}


@outside.patch("/people/{name}")
async def change_person(call: Administrator, name: str, body: PersonChange, if_match: IfMatch) -> dict[str, Any]:
    """Change the address; disable somebody, whose keys and sessions stop at once, or let them in again."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Connection) -> Member:
        if_match.check_state(lambda: _tag(members.get_member(db, name)))
        found = members.change_member(db, name, email=body.email, is_disabled=body.disabled, now_ns=now_ns, by=call.who)
        if body.disabled:
            sessions.end_all(db, found.who)
        return found

    return _person_json(await call.platform.database.write(work))


def _tag(member: Member) -> str:
    return tag(member.name, member.email, member.created_ns, member.disabled_ns)


def _person_json(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "who": member.who,
        "service": member.is_service,
        "email": member.email,
        "created": iso(member.created_ns),
        "created_by": member.created_by,
        "disabled": member.disabled_ns is not None,
    }
