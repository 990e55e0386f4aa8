"""The audit: what happened to the project, whether its chain holds, and an export that is checked elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.api.times import iso, to_ns
from tidemill.store import audit
from tidemill.store.audit import AuditEntry

router = Router(tags=["govern"])


def entry_json(entry: AuditEntry) -> dict[str, Any]:
    """A line as everyone sees it."""
    return {
        "number": entry.number,
        "at": iso(entry.at_ns),
        "who": entry.who,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "previous": entry.previous,
        "digest": entry.digest,
    }


@router.get("/audit")
async def list_audit(
    call: AnyCaller,
    action: str | None = None,
    target: str | None = None,
    who: str | None = None,
    since: str | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """Lines, newest first. `action` names one (`policy.denied`) or a group (`policy`); `since` is a time."""
    since_ns = to_ns(since)
    found = await call.platform.database.read(
        lambda db: audit.list_entries(
            db, call.project, action=action, target=target, who=who, since_ns=since_ns, limit=limit, cursor=cursor
        )
    )
    return page([entry_json(each) for each in found.items], found.next)


@router.get("/audit/verify")
async def verify_audit(call: AnyCaller, anchor: str | None = None) -> dict[str, Any]:
    """Recompute the chain. `anchor` is a line as it was once seen, `NUMBER:sha256:…`; `head` is one to keep."""
    seen = None if anchor is None else audit.parse_anchor(anchor)
    report = await call.platform.database.read(lambda db: audit.verify(db, call.project, anchor=seen))
    return {
        "ok": report.ok,
        "lines": report.lines,
        "head": None if report.head is None else f"{report.head[0]}:{report.head[1]}",
        "broken": report.broken,
        "fault": report.fault,
        "message": report.message,
    }


@router.get("/audit/export", response_class=Response)
async def export_audit(call: AnyCaller, after: Annotated[int, Query(ge=0, lt=2**31)] = 0, limit: Limit = 1000) -> Response:
    """Lines after a number, oldest first, as JSON lines `{"digest", "entry"}`; empty after the last.

    A line's bytes from the 93rd to the last but one are what its digest is the SHA-256 of.
    """
    lines = await call.platform.database.read(
        lambda db: [each.exported() for each in audit.read_chain(db, call.project, after=after, limit=limit)]
    )
    return Response(b"".join(line + b"\n" for line in lines), media_type="application/x-ndjson")
