"""The call for maturity."""

from __future__ import annotations

from typing import cast

from tidemill.client.calls import Calls
from tidemill.core.json import JsonObject


class MaturityCalls(Calls):
    """How the project is run."""

    async def maturity(self) -> JsonObject:
        """`practices`, each with its `level` and `criteria`, and `next`, three commands."""
        return cast("JsonObject", await self._line.send("GET", "/maturity"))
