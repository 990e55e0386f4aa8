# Made by scripts/sync_client.py from src/tidemill/client/govern.py; change that file and run the script.
"""Calls about approvals, policies and the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.client.govern import ApprovalJson, AuditEntryJson, AuditReportJson, Door, PolicyDecisionJson, PolicyJson
from tidemill.client.sync.waiting import Waiting


class GovernCalls(Waiting):
    """Approvals, policies and the audit."""

    def approve(
        self, release: str, *, reason: str, role: str = "reviewer", target: str | None = None, expires: str | None = None
    ) -> ApprovalJson:
        """Approve a release (a digest or a reference), for `target` or anywhere, for as long as `expires` (`30d`) says."""
        return self._wait(lambda: self._client.approve(release, reason=reason, role=role, target=target, expires=expires))

    def approvals(
        self, *, release: str | None = None, who: str | None = None, limit: int | None = None
    ) -> Sequence[ApprovalJson]:
        """Approvals, newest first."""
        return self._wait(lambda: self._client.approvals(release=release, who=who, limit=limit))

    def revoke_approval(self, approval: str, *, why: str = "") -> ApprovalJson:
        """Take an approval back."""
        return self._wait(lambda: self._client.revoke_approval(approval, why=why))

    def policies(self) -> Sequence[PolicyJson]:
        """Every policy as it is in force."""
        return self._wait(self._client.policies)

    def check_policies(self, app: str, *, target: str, door: Door | None = None) -> PolicyDecisionJson:
        """Whether a release may go to `target`, and what is missing. Nothing is changed."""
        return self._wait(lambda: self._client.check_policies(app, target=target, door=door))

    def audit(
        self,
        *,
        action: str | None = None,
        target: str | None = None,
        who: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Sequence[AuditEntryJson]:
        """Lines of the audit, newest first; `action` names one, or a group of them (`policy`)."""
        return self._wait(lambda: self._client.audit(action=action, target=target, who=who, since=since, limit=limit))

    def verify_audit(self, *, anchor: str | None = None) -> AuditReportJson:
        """Recompute the chain; with an `anchor` that was kept, a chain written anew or cut off shows too."""
        return self._wait(lambda: self._client.verify_audit(anchor=anchor))

    def export_audit(self) -> Iterator[bytes]:
        """Every line, oldest first, each `{"digest", "entry"}` in JSON with a line's end."""
        return self._each(self._client.export_audit)
