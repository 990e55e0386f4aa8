"""The audit of what belongs to no project: people, logins, which projects there are, attempts by nobody known."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from tidemill.api import audit as of_project
from tidemill.api.caller import Administrator, Caller, Limit, Page
from tidemill.api.router import Router
from tidemill.store.projects import SYSTEM

outside = Router(tags=["govern"])


@outside.get("/audit")
async def list_audit_of_all(
    call: Administrator,
    action: str | None = None,
    target: str | None = None,
    who: str | None = None,
    since: str | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """Lines, newest first; see the project's `/audit`."""
    return await of_project.list_audit(_system(call), action, target, who, since, limit, cursor)


@outside.get("/audit/verify")
async def verify_audit_of_all(call: Administrator, anchor: str | None = None) -> dict[str, Any]:
    """Recompute the chain; see the project's `/audit/verify`."""
    return await of_project.verify_audit(_system(call), anchor)


@outside.get("/audit/export", response_class=Response)
async def export_audit_of_all(
    call: Administrator, after: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Limit = 1000
) -> Response:
    """Lines after a number, oldest first, as JSON lines; see the project's `/audit/export`."""
    return await of_project.export_audit(_system(call), after, limit)


def _system(call: Administrator) -> Caller:
    return Caller(platform=call.platform, project=SYSTEM, principal=call.principal)
