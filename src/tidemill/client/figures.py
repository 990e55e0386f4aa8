"""Calls about the server's own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from tidemill.client.calls import Calls


class FigureJson(TypedDict):
    """One figure of `GET /metrics`; of a histogram, its `_count` and its `_sum`."""

    name: str
    labels: Mapping[str, str]
    value: float


class FigureCalls(Calls):
    """Look at how the server does; for operators and admins."""

    async def figures(self) -> Sequence[FigureJson]:
        """Every figure that `GET /metrics` has, see docs/reference/metrics.md."""
        found = cast(
            "Mapping[str, Sequence[FigureJson]]", await self._line.send_absolute("GET", "/metrics", params={"form": "json"})
        )
        return found["items"]
