"""Which release answers at which endpoint, kept in memory and swapped whole.

A request takes its bundle once, when it begins, and keeps it to its end; a deploy changes only what later requests take.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import Connection

from tidemill.core.records import Bundle
from tidemill.serve.rollout import Split, split_of
from tidemill.store import endpoints, release
from tidemill.store.database import Database
from tidemill.store.rollout_rows import Rollout


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """An endpoint and the application that answers there; `split` says who gets another while a rollout runs."""

    endpoint: endpoints.Endpoint
    bundle: Bundle
    split: Split | None = None


class LiveEndpoints:
    """The endpoints of all projects, read from the database when first asked for and after each change of what they serve."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[tuple[str, str], Live] = {}
        self._reading = asyncio.Lock()

    async def get(self, project: str, name: str) -> Live:
        """What answers at an endpoint now. Raises `NotFound` with the nearest name.

        Where other processes share the database, what they changed is seen within a quarter of a second.
        """
        live = self._live.get((project, name))
        if live is not None and self._database.has_others:
            now = await self._database.remember(("endpoint", project, name), lambda db: _state(db, project, name))
            live = live if now == (live.endpoint.updated_ns, live.endpoint.release, live.endpoint.rollout) else None
        return live or await self.refresh(project, name)

    async def refresh(self, project: str, name: str) -> Live:
        """Read an endpoint again and swap it in; whoever changes what it serves calls this after their transaction.

        Readings are one after another, so that an older state never replaces a newer one.
        """

        def read(db: Connection) -> Live:
            endpoint = endpoints.get_endpoint(db, project, name)
            running = endpoint.rollout
            return Live(
                endpoint=endpoint,
                bundle=release.load_bundle(db, project, endpoint.release),
                split=None if running is None else split_of(running, release.load_bundle(db, project, running.release)),
            )

        async with self._reading:
            live = await self._database.read(read)
            self._live[(project, name)] = live
        return live

    def forget(self, project: str, name: str) -> None:
        """Serve an endpoint no more; whoever deletes one calls this after their transaction."""
        self._live.pop((project, name), None)


def _state(db: Connection, project: str, name: str) -> tuple[int, str, Rollout | None]:
    endpoint = endpoints.get_endpoint(db, project, name)
    return endpoint.updated_ns, endpoint.release, endpoint.rollout
