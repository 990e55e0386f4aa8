# Made by scripts/sync_client.py from src/tidemill/client/figures.py; change that file and run the script.
"""Calls about the server's own figures."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.figures import FigureJson
from tidemill.client.sync.waiting import Waiting


class FigureCalls(Waiting):
    """Look at how the server does; for operators and admins."""

    def figures(self) -> Sequence[FigureJson]:
        """Every figure that `GET /metrics` has, see docs/reference/metrics.md."""
        return self._wait(self._client.figures)
