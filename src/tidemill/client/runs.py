"""Runs and their traces, as calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from tidemill.client import shapes
from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.events import ServerEvent
from tidemill.core.json import JsonObject


class RunCalls(Calls):
    """Run applications, and see what ran."""

    async def run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> shapes.RunJson:
        """Run an app or a release once, through the connections of `environment` (default: the server's)."""
        body: JsonObject = {"app": app, "inputs": inputs, "environment": environment}
        return cast("shapes.RunJson", await self._line.send("POST", "/runs", body=body))

    async def stream_run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> AsyncIterator[ServerEvent]:
        """Run an app and yield the server's events as they come: pieces of text, then the run."""
        body: JsonObject = {"app": app, "inputs": inputs, "stream": True, "environment": environment}
        async for event in self._line.events("POST", "/runs", body=body):
            yield event

    async def traces(self, *, q: str | None = None, limit: int = 20) -> Sequence[shapes.TraceJson]:
        """Traces, newest first; `q` finds words in inputs and outputs."""
        return await self._list("/traces", shapes.TraceJson, params={"q": q}, limit=limit)

    async def iter_traces(self, *, q: str | None = None) -> AsyncIterator[shapes.TraceJson]:
        """Every trace, newest first, a page at a time as they are asked for."""
        async for each in self._iterate("/traces", shapes.TraceJson, params={"q": q}):
            yield each

    async def trace(self, trace_id: str) -> shapes.TraceJson:
        """A trace by its id or the beginning of it."""
        return cast("shapes.TraceJson", await self._line.send("GET", f"/traces/{segment(trace_id)}"))
