"""Approvals: a person's word that a release may go somewhere, given, listed and taken back."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.etags import IfMatch, tag
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.durations import parse_duration
from tidemill.govern.approve import Signature, approve, subject_of
from tidemill.store import approvals
from tidemill.store.approvals import Approval
from tidemill.store.endpoints import get_endpoint
from tidemill.store.page import Page as Found

router = Router(tags=["govern"])


class NewApproval(Body):
    """What is approved (a digest, or a reference such as `chain/handbook`), in which role, why, for where, and how long."""

    release: str
    role: str = "reviewer"
    reason: str
    target: str = Field("", alias="for")
    expires: str | float | None = None


class Revocation(Body):
    """Why an approval is taken back."""

    why: str = Field("", max_length=2000)


def approval_json(found: Approval, *, now_ns: int) -> dict[str, Any]:
    """An approval as everyone sees it; `state` is that of now."""
    return {
        "id": found.id,
        "release": found.digest,
        "app": found.root,
        "who": found.who,
        "role": found.role,
        "reason": found.reason,
        "for": found.target or None,
        "state": found.state(now_ns),
        "created": iso(found.created_ns),
        "expires": iso(found.expires_ns),
        "revoked": iso(found.revoked_ns),
        "revoked_by": found.revoked_by,
    }


@router.get("/approvals")
async def list_approvals(
    call: AnyCaller, release: str | None = None, who: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """Approvals, newest first; of one release, or by one person (`person/ana`)."""

    def work(db: Database) -> Found[Approval]:
        digest = None if release is None else subject_of(db, call.project, _served(db, call.project, release))[0]
        return approvals.list_approvals(db, call.project, digest=digest, who=who, limit=limit, cursor=cursor)

    found = await call.platform.database.read(work)
    now_ns = call.platform.clock.now_ns()
    return page([approval_json(each, now_ns=now_ns) for each in found.items], found.next)


@router.get("/approvals/{approval}")
async def get_approval(call: AnyCaller, approval: str, response: Response) -> dict[str, Any]:
    """One approval."""
    found = await call.platform.database.read(lambda db: approvals.get_approval(db, call.project, approval))
    response.headers["etag"] = approval_tag(found, now_ns=call.platform.clock.now_ns())
    return approval_json(found, now_ns=call.platform.clock.now_ns())


@router.post("/approvals", status_code=201)
async def give_approval(call: AnyCaller, body: NewApproval) -> dict[str, Any]:
    """Approve a release by its digest. Whoever wrote any part of it cannot, nor a key that names no person."""
    now_ns, approval_id = call.platform.clock.now_ns(), call.platform.ids.text()
    expires_ns = None
    if body.expires is not None:
        expires_ns = now_ns + round(parse_duration(body.expires, what="expires") * 1e9)
    signature = Signature(
        who=call.who,
        held=call.principal.role,
        role=body.role,
        reason=body.reason,
        target=body.target,
        expires_ns=expires_ns,
    )

    def work(db: Database) -> Approval:
        subject = _served(db, call.project, body.release)
        call.check("approve", body.target or subject_of(db, call.project, subject)[1])
        return approve(db, call.project, subject, signature, approval_id=approval_id, now_ns=now_ns)

    return approval_json(await call.platform.database.write(work), now_ns=now_ns)


@router.delete("/approvals/{approval}")
async def revoke_approval(call: AnyCaller, approval: str, if_match: IfMatch, body: Revocation | None = None) -> dict[str, Any]:
    """Take an approval back. What it let through stays; it lets nothing more through."""
    now_ns, why = call.platform.clock.now_ns(), (body or Revocation()).why  # pyright: ignore[reportCallIssue]  (pydantic's default)

    def work(db: Database) -> Approval:
        given = approvals.get_approval(db, call.project, approval)
        call.check("approve", given.target or given.root)
        if_match.check_state(lambda: approval_tag(approvals.get_approval(db, call.project, approval), now_ns=now_ns))
        return approvals.revoke_approval(db, call.project, approval, by=call.who, why=why, now_ns=now_ns)

    return approval_json(await call.platform.database.write(work), now_ns=now_ns)


def approval_tag(found: Approval, *, now_ns: int) -> str:
    """The tag of an approval in this state; one that expires has another from then on."""
    return tag(found.id, found.state(now_ns), found.revoked_ns)


def _served(db: Database, project: str, reference: str) -> str:
    """For `endpoint/x` the digest that it serves, or tries on a share; anything else as it is."""
    if not reference.startswith("endpoint/"):
        return reference
    endpoint = get_endpoint(db, project, reference)
    return endpoint.release if endpoint.rollout is None else endpoint.rollout.release
