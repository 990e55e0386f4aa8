# Made by scripts/sync_client.py from src/tidemill/client/routes.py; change that file and run the script.
"""Calls about routes: several models behind one name."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class RouteCalls(Waiting):
    """See routes, and how their targets do."""

    def routes(self) -> Sequence[JsonObject]:
        """Every route, with its strategy and its targets."""
        return self._wait(self._client.routes)

    def route(self, name: str, *, environment: str | None = None) -> JsonObject:
        """A route with what the server has seen of each target since it began: breaker, latencies, share."""
        return self._wait(lambda: self._client.route(name, environment=environment))
