"""Runs, as calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from tidemill.client import shapes
from tidemill.client.calls import Calls
from tidemill.client.events import ServerEvent
from tidemill.core.json import JsonObject


class RunCalls(Calls):
    """Run applications."""

    async def run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> shapes.RunJson:
        """Run an app or a release once, through the connections of `environment` (default: the server's)."""
        body: JsonObject = {"app": app, "inputs": inputs, "environment": environment}
        return cast("shapes.RunJson", await self._line.send("POST", "/runs", body=body))

    async def stream_run(self, app: str, inputs: JsonObject, *, environment: str | None = None) -> AsyncIterator[ServerEvent]:
        """Run an app and yield the server's events as they come: pieces of text, then the run."""
        body: JsonObject = {"app": app, "inputs": inputs, "stream": True, "environment": environment}
        async for event in self._line.events("POST", "/runs", body=body):
            yield event
