# Made by scripts/sync_client.py from src/tidemill/client/runs.py; change that file and run the script.
"""Runs and their traces, as calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.client import shapes
from tidemill.client.events import ServerEvent
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class RunCalls(Waiting):
    """Run applications, and see what ran."""

    def run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> shapes.RunJson:
        """Run an app or a release once, through the connections of `environment` (default: the server's)."""
        return self._wait(lambda: self._client.run(app, inputs, environment=environment))

    def stream_run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> Iterator[ServerEvent]:
        """Run an app and yield the server's events as they come: pieces of text, then the run."""
        return self._each(lambda: self._client.stream_run(app, inputs, environment=environment))

    def traces(self, *, q: str | None = None, limit: int = 20) -> Sequence[shapes.TraceJson]:
        """Traces, newest first; `q` finds words in inputs and outputs."""
        return self._wait(lambda: self._client.traces(q=q, limit=limit))

    def iter_traces(self, *, q: str | None = None) -> Iterator[shapes.TraceJson]:
        """Every trace, newest first, a page at a time as they are asked for."""
        return self._each(lambda: self._client.iter_traces(q=q))

    def trace(self, trace_id: str) -> shapes.TraceJson:
        """A trace by its id or the beginning of it."""
        return self._wait(lambda: self._client.trace(trace_id))
