# Made by scripts/sync_client.py from src/tidemill/client/runs.py; change that file and run the script.
"""Runs, as calls."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.client import shapes
from tidemill.client.events import ServerEvent
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class RunCalls(Waiting):
    """Run applications."""

    def run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> shapes.RunJson:
        """Run an app or a release once, through the connections of `environment` (default: the server's)."""
        return self._wait(lambda: self._client.run(app, inputs, environment=environment))

    def stream_run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> Iterator[ServerEvent]:
        """Run an app and yield the server's events as they come: pieces of text, then the run."""
        return self._each(lambda: self._client.stream_run(app, inputs, environment=environment))
