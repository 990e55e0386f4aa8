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

    async def deploy(
        self, app: str, *, to: str, environment: str | None = None, if_match: str | None = None
    ) -> shapes.EndpointJson:
        """Serve an app or release at an endpoint, which is made when it is missing.

        It answers through the connections of `environment`; by default those that it answered through before. With `if_match`,
        the `etag` of an `endpoint` that was looked at, raises `PreconditionFailed` when it serves something else by now.
        """
        name = parse_ref(to, kind="endpoint").name
        body: JsonObject = {"app": app, "environment": environment}
        sent = await self._line.send("POST", f"/endpoints/{segment(name)}:deploy", body=body, if_match=if_match)
        return cast("shapes.EndpointJson", sent)

    async def rollback(self, endpoint: str, *, if_match: str | None = None) -> shapes.EndpointJson:
        """Serve what the endpoint served before; `if_match` as for `deploy`."""
        name = parse_ref(endpoint, kind="endpoint").name
        sent = await self._line.send("POST", f"/endpoints/{segment(name)}:rollback", if_match=if_match)
        return cast("shapes.EndpointJson", sent)

    async def endpoint(self, name: str) -> shapes.EndpointJson:
        """What an endpoint serves; `etag` names this state of it."""
        path = f"/endpoints/{segment(parse_ref(name, kind='endpoint').name)}"
        found, etag = await self._line.read(path)
        return cast("shapes.EndpointJson", {**cast("JsonObject", found), "etag": etag})

    async def endpoints(self) -> Sequence[shapes.EndpointJson]:
        """Every endpoint."""
        return await self._list("/endpoints", shapes.EndpointJson)
