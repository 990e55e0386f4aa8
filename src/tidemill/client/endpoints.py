"""Endpoints, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tidemill.client import shapes
from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


class EndpointCalls(Calls):
    """What answers at a stable address."""

    async def deploy(self, app: str, *, to: str, environment: str | None = None) -> shapes.EndpointJson:
        """Serve an app or release at an endpoint, which is made when it is missing.

        It answers through the connections of `environment`; by default those that it answered through before.
        """
        name = parse_ref(to, kind="endpoint").name
        body: JsonObject = {"app": app, "environment": environment}
        return cast("shapes.EndpointJson", await self._line.send("POST", f"/endpoints/{segment(name)}:deploy", body=body))

    async def rollback(self, endpoint: str) -> shapes.EndpointJson:
        """Serve what the endpoint served before."""
        name = parse_ref(endpoint, kind="endpoint").name
        return cast("shapes.EndpointJson", await self._line.send("POST", f"/endpoints/{segment(name)}:rollback"))

    async def endpoint(self, name: str) -> shapes.EndpointJson:
        """What an endpoint serves."""
        found = parse_ref(name, kind="endpoint").name
        return cast("shapes.EndpointJson", await self._line.send("GET", f"/endpoints/{segment(found)}"))

    async def endpoints(self) -> Sequence[shapes.EndpointJson]:
        """Every endpoint."""
        return await self._list("/endpoints", shapes.EndpointJson)
