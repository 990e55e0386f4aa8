# Made by scripts/sync_client.py from src/tidemill/client/plans.py; change that file and run the script.
"""Plan and apply, as calls."""

from __future__ import annotations

from tidemill.client import shapes
from tidemill.client.files import Collected
from tidemill.client.sync.waiting import Waiting


class PlanCalls(Waiting):
    """Calls about plans and applies."""

    def plan(self, collected: Collected | None = None) -> shapes.Plan:
        """What an apply of these files (default: the project's) would change."""
        return self._wait(lambda: self._client.plan(collected))

    def apply(
        self,
        collected: Collected | None = None,
        *,
        expected: str | None = None,
        strict: bool = False,
        whole: bool = True,
        wait: bool = True,
    ) -> shapes.Applied:
        """Apply these files (default: the project's): all of them or none. `wait` also for the builds.

        Raises `Conflict` with `expected`, the digest of a plan, when it would do anything else; and with `strict` when it would
        undo what another door did to the registry since. `whole` says that they are all of the project's files.
        """
        return self._wait(lambda: self._client.apply(collected, expected=expected, strict=strict, whole=whole, wait=wait))
