"""Calls about rollouts: a release takes a share of an endpoint's traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.rollout_shapes import RolloutJson, RolloutStatus
from tidemill.core.json import Json
from tidemill.core.refs import parse_ref


class RolloutCalls(Calls):
    """Rollouts. `rollout` is an id, or `endpoint/NAME` for the endpoint's last."""

    async def start_rollout(self, endpoint: str, *, app: str, share: float | str) -> RolloutJson:
        """Let `share` (percent: `10` or `"10%"`) of an endpoint's callers have another app or release."""
        name = parse_ref(endpoint, kind="endpoint").name
        body: Mapping[str, Json] = {"endpoint": name, "app": app, "share": share}
        return cast("RolloutJson", await self._line.send("POST", "/rollouts", body=body))

    async def rollout(self, rollout: str) -> RolloutJson:
        """A rollout with how each variant does."""
        return cast("RolloutJson", await self._line.send("GET", f"/rollouts/{_named(rollout)}"))

    async def rollouts(
        self, *, endpoint: str | None = None, status: RolloutStatus | None = None, limit: int | None = None
    ) -> Sequence[RolloutJson]:
        """Rollouts, newest first."""
        name = None if endpoint is None else parse_ref(endpoint, kind="endpoint").name
        return await self._list("/rollouts", RolloutJson, params={"endpoint": name, "status": status}, limit=limit)

    async def promote_rollout(self, rollout: str, *, why: str = "") -> RolloutJson:
        """Let all callers have the canary."""
        return cast("RolloutJson", await self._line.send("POST", f"/rollouts/{_named(rollout)}:promote", body={"why": why}))

    async def abort_rollout(self, rollout: str, *, why: str = "") -> RolloutJson:
        """Let all callers have the stable release."""
        return cast("RolloutJson", await self._line.send("POST", f"/rollouts/{_named(rollout)}:abort", body={"why": why}))


def _named(rollout: str) -> str:
    """An id, or the name of an endpoint, as a segment of a path."""
    return segment(parse_ref(rollout, kind="endpoint").name)
