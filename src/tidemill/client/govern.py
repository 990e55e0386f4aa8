"""Calls about approvals, policies and the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import Json, JsonObject

Door = Literal["deploy", "rollback", "rollout", "promote", "alias"]
_EXPORTED_AT_ONCE = 1000


class ApprovalJson(TypedDict, total=False):
    """A person's word that a release may go somewhere; `for` None: anywhere."""

    id: str
    release: str
    app: str
    who: str
    role: str
    reason: str
    state: Literal["valid", "expired", "revoked"]
    created: str
    expires: str | None
    revoked: str | None
    revoked_by: str | None


class PolicyJson(TypedDict, total=False):
    """A policy as it is in force."""

    ref: str
    name: str
    digest: str
    description: str
    enabled: bool
    protects: Sequence[str]
    doors: Sequence[Door]
    require: Sequence[str]
    gates: Mapping[str, str]


class MissingJson(TypedDict, total=False):
    """A rule that does not hold: what there is instead, and the commands that supply it."""

    policy: str
    rule: str
    found: Sequence[str]
    commands: Sequence[str]


class PolicyDecisionJson(TypedDict, total=False):
    """What the policies say of a release at a door; `role` says why whoever asks may not, apart from the rules."""

    door: Door
    target: str
    release: str
    who: str
    allowed: bool
    policies: Sequence[JsonObject]
    missing: Sequence[MissingJson]
    role: str


class AuditEntryJson(TypedDict, total=False):
    """One line of the audit."""

    number: int
    at: str
    who: str
    action: str
    target: str
    detail: JsonObject
    previous: str
    digest: str


class AuditReportJson(TypedDict, total=False):
    """Whether the chain holds; `head` (`NUMBER:DIGEST`) is an anchor to keep, `broken` the first line that does not hold."""

    ok: bool
    lines: int
    head: str | None
    broken: int | None
    fault: str | None
    message: str


class GovernCalls(Calls):
    """Approvals, policies and the audit."""

    async def approve(
        self, release: str, *, reason: str, role: str = "reviewer", target: str | None = None, expires: str | None = None
    ) -> ApprovalJson:
        """Approve a release (a digest or a reference), for `target` or anywhere, for as long as `expires` (`30d`) says."""
        body: JsonObject = {"release": release, "role": role, "reason": reason, "for": target or "", "expires": expires}
        return cast("ApprovalJson", await self._line.send("POST", "/approvals", body=body))

    async def approvals(
        self, *, release: str | None = None, who: str | None = None, limit: int | None = None
    ) -> Sequence[ApprovalJson]:
        """Approvals, newest first."""
        return await self._list("/approvals", ApprovalJson, params={"release": release, "who": who}, limit=limit)

    async def revoke_approval(self, approval: str, *, why: str = "") -> ApprovalJson:
        """Take an approval back."""
        return cast("ApprovalJson", await self._line.send("DELETE", f"/approvals/{segment(approval)}", body={"why": why}))

    async def policies(self) -> Sequence[PolicyJson]:
        """Every policy as it is in force."""
        return await self._list("/policies", PolicyJson)

    async def check_policies(self, app: str, *, target: str, door: Door | None = None) -> PolicyDecisionJson:
        """Whether a release may go to `target`, and what is missing. Nothing is changed."""
        body: JsonObject = {"app": app, "target": target, "door": door}
        return cast("PolicyDecisionJson", await self._line.send("POST", "/policies:check", body=body))

    async def audit(
        self,
        *,
        action: str | None = None,
        target: str | None = None,
        who: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Sequence[AuditEntryJson]:
        """Lines of the audit, newest first; `action` names one, or a group of them (`policy`)."""
        params = {"action": action, "target": target, "who": who, "since": since}
        return await self._list("/audit", AuditEntryJson, params=params, limit=limit)

    async def verify_audit(self, *, anchor: str | None = None) -> AuditReportJson:
        """Recompute the chain; with an `anchor` that was kept, a chain written anew or cut off shows too."""
        return cast("AuditReportJson", await self._line.send("GET", "/audit/verify", params={"anchor": anchor}))

    async def export_audit(self) -> AsyncIterator[bytes]:
        """Every line, oldest first, each `{"digest", "entry"}` in JSON with a line's end."""
        after = 0
        while True:
            params: Mapping[str, int] = {"after": after, "limit": _EXPORTED_AT_ONCE}
            piece = await self._line.fetch("GET", "/audit/export", params=params)
            lines = piece.splitlines(keepends=True)
            for line in lines:
                yield line
            if len(lines) < _EXPORTED_AT_ONCE:
                return
            after += len(lines)


def approved_for(approval: ApprovalJson) -> str:
    """Where an approval lets a release go; `anywhere` without a target."""
    return str(cast("Mapping[str, Json]", approval).get("for") or "anywhere")
