# Made by scripts/sync_client.py from src/tidemill/client/lineage.py; change that file and run the script.
"""Calls about lineage: what was made of what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from tidemill.client.lineage import Lineage, LineagePath, TakenJson
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import Json, JsonObject


class LineageCalls(Waiting):
    """What a thing was made of, what was made of it, and what stands on it."""

    def lineage(
        self,
        of: str,
        *,
        direction: Literal["up", "down", "both"] = "both",
        depth: int | None = None,
        kinds: Sequence[str] = (),
        by: Literal["version", "artifact"] = "version",
        ends: bool = False,
        limit: int = 200,
        cursor: str | None = None,
    ) -> Lineage:
        """The graph around `of`, nearest first; `kinds` shows these only, `ends` the roots or leaves only."""
        return self._wait(
            lambda: self._client.lineage(
                of, direction=direction, depth=depth, kinds=kinds, by=by, ends=ends, limit=limit, cursor=cursor
            )
        )

    def lineage_impact(self, of: str, *, limit: int = 20) -> JsonObject:
        """What stands on `of`: indexes, releases, endpoints and answered requests, with counts and times."""
        return self._wait(lambda: self._client.lineage_impact(of, limit=limit))

    def lineage_path(self, from_: str, to: str) -> LineagePath:
        """The shortest line between two things, in either direction."""
        return self._wait(lambda: self._client.lineage_path(from_, to))

    def openlineage(self, *, since: str | None = None) -> Iterator[JsonObject]:
        """What happened here as OpenLineage run events, oldest first; from `since` (a time, or `24h`) on."""
        return self._each(lambda: self._client.openlineage(since=since))

    def send_openlineage(self, events: Sequence[Json]) -> TakenJson:
        """Give run events of other systems: what is right is kept, what is not is refused one by one."""
        return self._wait(lambda: self._client.send_openlineage(events))
