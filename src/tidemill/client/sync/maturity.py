# Made by scripts/sync_client.py from src/tidemill/client/maturity.py; change that file and run the script.
"""The call for maturity."""

from __future__ import annotations

from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class MaturityCalls(Waiting):
    """How the project is run."""

    def maturity(self) -> JsonObject:
        """`practices`, each with its `level` and `criteria`, and `next`, three commands."""
        return self._wait(self._client.maturity)
