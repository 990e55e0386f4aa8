"""Calls about routes: several models behind one name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


class RouteCalls(Calls):
    """See routes, and how their targets do."""

    async def routes(self) -> Sequence[JsonObject]:
        """Every route, with its strategy and its targets."""
        return await self._list("/routes", JsonObject)

    async def route(self, name: str, *, environment: str | None = None) -> JsonObject:
        """A route with what the server has seen of each target since it began: breaker, latencies, share."""
        found = parse_ref(name, kind="route").name
        params = {"environment": environment}
        return cast("JsonObject", await self._line.send("GET", f"/routes/{segment(found)}", params=params))
