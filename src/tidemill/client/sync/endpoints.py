# Made by scripts/sync_client.py from src/tidemill/client/endpoints.py; change that file and run the script.
"""Endpoints, as calls."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client import shapes
from tidemill.client.sync.waiting import Waiting


class EndpointCalls(Waiting):
    """What answers at a stable address."""

    def deploy(self, app: str, *, to: str, environment: str | None = None, if_match: str | None = None) -> shapes.EndpointJson:
        """Serve an app or release at an endpoint, which is made when it is missing.

        It answers through the connections of `environment`; by default those that it answered through before. With `if_match`,
        the `etag` of an `endpoint` that was looked at, raises `PreconditionFailed` when it serves something else by now.
        """
        return self._wait(lambda: self._client.deploy(app, to=to, environment=environment, if_match=if_match))

    def rollback(self, endpoint: str, *, if_match: str | None = None) -> shapes.EndpointJson:
        """Serve what the endpoint served before; `if_match` as for `deploy`."""
        return self._wait(lambda: self._client.rollback(endpoint, if_match=if_match))

    def endpoint(self, name: str) -> shapes.EndpointJson:
        """What an endpoint serves; `etag` names this state of it."""
        return self._wait(lambda: self._client.endpoint(name))

    def endpoints(self) -> Sequence[shapes.EndpointJson]:
        """Every endpoint."""
        return self._wait(self._client.endpoints)
