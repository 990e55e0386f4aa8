"""Calls about lineage: what was made of what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.core.json import Json, JsonObject


class LineageNode(TypedDict):
    """A thing in the graph; `id` and `ref` are the reference to paste. `depth` counts links from what was asked for.

    `state`: `live`, `deleted`, `erased`, `passed` …; `end`: nothing is beyond it; `about` is more of it, by kind.
    """

    id: str
    ref: str
    kind: str
    depth: int
    end: bool
    artifact: str
    first: str | None
    by: str
    state: str
    digest: str | None
    about: JsonObject


class LineageEdge(TypedDict):
    """`source` fed `target`; `relation` reads in this direction: `prompt used_by chain`."""

    id: str
    source: str
    target: str
    relation: str
    at: str | None


class Lineage(TypedDict):
    """A part of the graph. `truncated`: there is more than was asked for; `next` is the cursor for it, in one direction."""

    of: str
    direction: str
    by: str
    nodes: Sequence[LineageNode]
    edges: Sequence[LineageEdge]
    truncated: bool
    note: str | None
    next: str | None


class LineagePath(TypedDict):
    """The shortest line; `down` from the first to the last, or `up`. `undecided`: the graph is too large to say."""

    answer: Literal["found", "none", "undecided"]
    direction: Literal["down", "up"] | None
    nodes: Sequence[LineageNode]
    edges: Sequence[LineageEdge]


class RefusedEvent(TypedDict):
    """An event that was not taken, by its place in what was sent, from 0."""

    event: int
    reason: str


class TakenJson(TypedDict):
    """How many events were kept, how many had been sent before, and those that were refused."""

    kept: int
    known: int
    refused: Sequence[RefusedEvent]


class LineageCalls(Calls):
    """What a thing was made of, what was made of it, and what stands on it."""

    async def lineage(
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
        params = {
            "of": of, "direction": direction, "depth": depth, "kinds": ",".join(kinds) or None, "by": by, "ends": ends,
            "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return cast("Lineage", await self._line.send("GET", "/lineage", params=params))

    async def lineage_impact(self, of: str, *, limit: int = 20) -> JsonObject:
        """What stands on `of`: indexes, releases, endpoints and answered requests, with counts and times."""
        return cast("JsonObject", await self._line.send("GET", "/lineage/impact", params={"of": of, "limit": limit}))

    async def lineage_path(self, from_: str, to: str) -> LineagePath:
        """The shortest line between two things, in either direction."""
        return cast("LineagePath", await self._line.send("GET", "/lineage/path", params={"from": from_, "to": to}))

    async def openlineage(self, *, since: str | None = None) -> AsyncIterator[JsonObject]:
        """What happened here as OpenLineage run events, oldest first; from `since` (a time, or `24h`) on."""
        cursor: str | None = None
        while True:
            params = {"since": since, "cursor": cursor, "limit": 1000}
            page = cast("Mapping[str, Json]", await self._line.send("GET", "/lineage/openlineage", params=params))
            for event in cast("Sequence[JsonObject]", page["items"]):
                yield event
            cursor = cast("str | None", page["next"])
            if cursor is None:
                return

    async def send_openlineage(self, events: Sequence[Json]) -> TakenJson:
        """Give run events of other systems: what is right is kept, what is not is refused one by one."""
        return cast("TakenJson", await self._line.send("POST", "/lineage/openlineage", body=list(events)))
