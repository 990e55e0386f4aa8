"""Who may do what in a project: grants and denials, and why somebody may or may not. The model: `tidemill.store.grants`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from tidemill.api.caller import Administrator, AnyCaller, Body, Limit, Page, page
from tidemill.api.keys import Role, check_no_more
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Denied, NotFound
from tidemill.store import access, members
from tidemill.store.access import Principal
from tidemill.store.grants import EVERY_PROJECT, EVERYTHING, NARROWED, Decision, Grant, Right, in_order

router = Router(tags=["access"])
outside = Router(tags=["access"])
_Name = Annotated[str, Field(max_length=128)]


class NewRule(Body):
    """A grant, of a role or of some verbs, or a denial of some verbs (of everything, without any).

    `on` narrows develop, deploy and approve to what it matches, as in `endpoint/prod-*`.
    """

    person: _Name
    effect: Literal["allow", "deny"] = "allow"
    role: Role | None = None
    may: Annotated[tuple[Right, ...], Field(max_length=7)] = ()
    on: Annotated[str, Field(max_length=256)] = EVERYTHING


class Question(Body):
    """May this person (`ana`), or key (`key/ID`), do this to that? Without a target: to the whole project."""

    person: _Name
    right: Right
    on: Annotated[str, Field(max_length=300)] = ""


@router.get("/access")
async def list_rules(call: AnyCaller, person: str | None = None, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The grants and denials that count in the project, those for every project too."""
    found = await call.platform.database.read(
        lambda db: members.list_grants(db, call.project, member=person, limit=limit, cursor=cursor)
    )
    return page([grant_json(each) for each in found.items], found.next)


@router.post("/access", status_code=201)
async def add_rule(call: AnyCaller, body: NewRule) -> dict[str, Any]:
    """Grant or deny. It counts from the next request on. Nobody can grant what they may not do themselves."""
    rule = _rule(body, call.project)
    if body.effect == "allow":
        check_no_more(call, rule.verbs, to=body.person)
    return await _add(call, call.project, body)


@router.delete("/access/{rule}")
async def remove_rule(call: AnyCaller, rule: str) -> dict[str, Any]:
    """Take a grant or a denial back; it counts no more from the next request on."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Connection) -> Grant:
        found = members.get_grant(db, call.project, rule)
        if found.effect == "deny":
            _check_not_own(call.principal, found)
            check_no_more(call, found.verbs)
        return members.remove_grant(db, call.project, rule, now_ns=now_ns, by=call.who)

    return grant_json(await call.platform.database.write(work))


@router.post("/access:check")
async def check_access(call: AnyCaller, body: Question) -> dict[str, Any]:
    """Whether somebody may do something, and which rule says so. Nothing is changed."""
    found = await call.platform.database.read(lambda db: _asked(db, call.project, body, call.platform.entry.now_ns()))
    return {
        "person": body.person,
        "right": body.right,
        "on": body.on,
        "allowed": any(each.allowed for _, each in found),
        "why": _why(body, found),
        "rules": [{"by": by, "allowed": each.allowed, "why": each.why, "rule": _rule_id(each)} for by, each in found],
    }


@outside.get("/access")
async def list_rules_of_all(
    call: Administrator, person: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """The grants and denials for every project."""
    found = await call.platform.database.read(
        lambda db: members.list_grants(db, EVERY_PROJECT, member=person, limit=limit, cursor=cursor)
    )
    return page([grant_json(each) for each in found.items], found.next)


@outside.post("/access", status_code=201)
async def add_rule_of_all(call: Administrator, body: NewRule) -> dict[str, Any]:
    """Grant or deny in every project, those too that are made later."""
    return await _add(call, EVERY_PROJECT, body)


@outside.delete("/access/{rule}")
async def remove_rule_of_all(call: Administrator, rule: str) -> dict[str, Any]:
    """Take back a grant or a denial for every project."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Connection) -> Grant:
        _check_not_own(call.principal, members.get_grant(db, EVERY_PROJECT, rule))
        return members.remove_grant(db, EVERY_PROJECT, rule, now_ns=now_ns, by=call.who)

    return grant_json(await call.platform.database.write(work))


def grant_json(grant: Grant) -> dict[str, Any]:
    """A rule as everyone sees it."""
    return {
        "id": grant.id,
        "person": grant.member,
        "project": grant.project,
        "effect": grant.effect,
        "role": grant.role,
        "may": in_order(grant.verbs),
        "on": grant.pattern,
        "text": grant.text,
        "created": iso(grant.created_ns),
        "created_by": grant.created_by,
    }


def _check_not_own(principal: Principal, rule: Grant) -> None:
    """Raise `Denied` for whoever would take back what is denied to themselves."""
    if rule.effect == "deny" and principal.standing is not None and principal.standing.member == rule.member:
        raise Denied(f"{rule.text} is about you", hint="Ask another admin to take it back.")


async def _add(call: AnyCaller | Administrator, project: str, body: NewRule) -> dict[str, Any]:
    now_ns = call.platform.clock.now_ns()
    made = await call.platform.database.write(
        lambda db: members.add_grant(
            db,
            body.person,
            project=project,
            effect=body.effect,
            role=body.role,
            rights=body.may,
            pattern=body.on,
            now_ns=now_ns,
            by=call.who,
        )
    )
    return grant_json(made)


def _rule(body: NewRule, project: str) -> Grant:
    return Grant(
        id="",
        member=body.person,
        project=project,
        effect=body.effect,
        role=body.role,
        rights=frozenset(body.may),
        pattern=body.on,
    )


def _asked(db: Connection, project: str, body: Question, now_ns: int) -> Sequence[tuple[str, Decision]]:
    """What each way in that somebody has says: their grants, else their keys. Raises `NotFound` for nobody known here."""
    name = body.person.removeprefix("person/").removeprefix("service/")
    standing = None if name.startswith("key/") else members.standing_of(db, name, project=project)
    if standing is not None:
        return [(standing.who, standing.decide(body.right, body.on))]
    held = [
        each
        for each in access.list_keys(db, project)
        if name in {each.person, f"key/{each.id}"} and each.state(now_ns) == "valid"
    ]
    if not held:
        raise NotFound(
            f"nobody called {name[:80]!r} is known in project {project!r}",
            hint="List: tidemill access list, tidemill keys list",
        )
    found: list[tuple[str, Decision]] = []
    for each in held:
        principal: Principal = access.principal_of_key(db, each.id).within(project)
        found.append((f"key/{each.id}", principal.decide(body.right, body.on)))
    return found


def _why(body: Question, found: Sequence[tuple[str, Decision]]) -> str:
    best = next((each for _, each in found if each.allowed), found[0][1])
    note = "" if body.on or body.right not in NARROWED else " (asked of the whole project; name a target to ask of one)"
    return best.why + ("" if best.allowed else note)


def _rule_id(decision: Decision) -> str | None:
    return None if decision.rule is None else decision.rule.id
