# Made by scripts/sync_client.py from src/tidemill/client/rollouts.py; change that file and run the script.
"""Calls about rollouts: a release takes a share of an endpoint's traffic."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.rollout_shapes import RolloutJson, RolloutStatus
from tidemill.client.sync.waiting import Waiting


class RolloutCalls(Waiting):
    """Rollouts. `rollout` is an id, or `endpoint/NAME` for the endpoint's last."""

    def start_rollout(self, endpoint: str, *, app: str, share: float | str) -> RolloutJson:
        """Let `share` (percent: `10` or `"10%"`) of an endpoint's callers have another app or release."""
        return self._wait(lambda: self._client.start_rollout(endpoint, app=app, share=share))

    def rollout(self, rollout: str) -> RolloutJson:
        """A rollout with how each variant does."""
        return self._wait(lambda: self._client.rollout(rollout))

    def rollouts(
        self, *, endpoint: str | None = None, status: RolloutStatus | None = None, limit: int | None = None
    ) -> Sequence[RolloutJson]:
        """Rollouts, newest first."""
        return self._wait(lambda: self._client.rollouts(endpoint=endpoint, status=status, limit=limit))

    def promote_rollout(self, rollout: str, *, why: str = "") -> RolloutJson:
        """Let all callers have the canary."""
        return self._wait(lambda: self._client.promote_rollout(rollout, why=why))

    def abort_rollout(self, rollout: str, *, why: str = "") -> RolloutJson:
        """Let all callers have the stable release."""
        return self._wait(lambda: self._client.abort_rollout(rollout, why=why))
