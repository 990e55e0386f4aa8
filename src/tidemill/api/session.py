"""Who I am, logging in and out, and the sessions there are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field
from sqlalchemy import Connection

from tidemill.api.caller import AnyVisitor, Body, Limit, Page, Somebody, Visitor, page
from tidemill.api.entry import COOKIE, cookie_of, subject_of, token_of
from tidemill.api.guard import header_map
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Denied, NotFound
from tidemill.store import sessions
from tidemill.store.access import Principal
from tidemill.store.grants import EVERY_PROJECT, EVERY_RIGHT, Right
from tidemill.store.projects import page_of_projects
from tidemill.store.sessions import Session

outside = Router(tags=["access"])
_SHOWN = 1000


class NewLink(Body):
    """Who is to log in; without a name, whoever asks."""

    person: Annotated[str, Field(max_length=128)] | None = None


@outside.get("/session")
async def show_session(request: Request, call: AnyVisitor) -> dict[str, Any]:
    """Who the caller is, the projects in which they may do something and what, and the token that changes by cookie need."""
    headers = header_map(request.scope)
    secret = cookie_of(headers) if token_of(headers) is None else None
    here = await call.platform.database.read(lambda db: _projects(db, call.principal))
    return {
        "who": call.who,
        "person": call.principal.person,
        "admin": call.principal.may_administer_all,
        "by": "session" if call.principal.session else "token" if call.principal.is_admin else "key",
        "endpoints": None if call.principal.endpoints is None else sorted(call.principal.endpoints),
        "projects": here,
        "csrf": None if secret is None else sessions.csrf_of(secret),
    }


@outside.delete("/session", status_code=204)
async def log_out(call: AnyVisitor) -> Response:
    """End the session of this browser."""
    session = call.principal.session
    if session is None:
        raise NotFound(
            "no session: this is a token or a key", hint="Nothing is to be ended. Revoke a key: tidemill keys revoke"
        )
    now_ns = call.platform.clock.now_ns()
    await call.platform.database.write(lambda db: sessions.end_session(db, session, now_ns=now_ns, by=call.who))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/")
    return response


@outside.get("/sessions")
async def list_sessions(call: Somebody, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The caller's sessions; for whoever administers every project, everybody's."""
    subject = _mine(call)
    now_ns = call.platform.entry.now_ns()
    found = await call.platform.database.read(
        lambda db: sessions.list_sessions(db, subject=subject, now_ns=now_ns, limit=limit, cursor=cursor)
    )
    return page([_session_json(each, mine=call.principal.session) for each in found.items], found.next)


@outside.delete("/sessions/{session}", status_code=204)
async def end_session(call: Somebody, session: str) -> Response:
    """End a session, of the caller's own or, for whoever administers every project, of anybody."""
    subject, now_ns = _mine(call), call.platform.clock.now_ns()
    await call.platform.database.write(
        lambda db: sessions.end_session(db, session, subject=subject, now_ns=now_ns, by=call.who)
    )
    return Response(status_code=204)


@outside.post("/login-links", status_code=201)
async def make_login_link(response: Response, call: Somebody, body: NewLink | None = None) -> dict[str, Any]:
    """A link that logs in once within 15 minutes: the caller, or by whoever administers every project, anybody."""
    response.headers["cache-control"] = "no-store"
    person = None if body is None else body.person
    if person is not None and not call.principal.may_administer_all:
        raise Denied(f"{call.who} may not log others in", hint="Leave the name out to log in yourself.")
    subject = subject_of(call.principal) if person is None else f"person/{person}"
    now_ns = call.platform.entry.now_ns()
    code, ends_ns = await call.platform.database.write(lambda db: sessions.make_link(db, subject, now_ns=now_ns, by=call.who))
    return {"for": subject, "path": f"/login?code={code}", "expires": iso(ends_ns)}


def _mine(call: Visitor) -> str | None:
    return None if call.principal.may_administer_all else subject_of(call.principal)


def _projects(db: Connection, principal: Principal) -> list[dict[str, Any]]:
    """Name, role and rights of each project that somebody may read; at most 1,000."""
    standing = principal.standing
    granted = None if standing is None else frozenset(each.project for each in standing.grants)
    among = None if principal.is_admin or (granted is not None and EVERY_PROJECT in granted) else granted or frozenset[str]()
    if principal.project is not None:
        among = frozenset({principal.project})
    found: list[dict[str, Any]] = []
    for each in page_of_projects(db, among=among, limit=_SHOWN).items:
        try:
            here = principal.within(each.name)
        except NotFound:
            continue
        rights: list[Right] = [right for right in EVERY_RIGHT if here.may_somewhere(right)]
        found.append({"name": each.name, "role": here.role, "rights": rights, "archived": each.archived_ns is not None})
    return found


def _session_json(session: Session, *, mine: str | None) -> dict[str, Any]:
    return {
        "id": session.id,
        "who": session.subject,
        "agent": session.agent,
        "created": iso(session.created_ns),
        "seen": iso(session.seen_ns),
        "ends": iso(session.ends_ns),
        "this": session.id == mine,
    }
