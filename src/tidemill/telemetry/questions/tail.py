"""Traces as they are stored, for who listens. Nothing waits for a slow listener: what came since is asked when it is back."""

from __future__ import annotations

import collections
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final, Protocol, cast

from tidemill.core.json import JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Where, compile_traces
from tidemill.telemetry.questions.listing import Listing, list_traces
from tidemill.telemetry.questions.windows import DAY_NS, window_sql
from tidemill.telemetry.spool.segments import Position

_AT_ONCE: Final = 100
_LOOKED_AT: Final = 1000
_REMEMBERED: Final = 10 * _LOOKED_AT
_LATE_NS: Final = 60 * 10**9


class Moves(Protocol):
    """Says when there is more in the store; `tidemill.telemetry.spool.projector.Projector` is one."""

    @property
    def position(self) -> Position:
        """Up to where there is."""
        ...

    async def beyond(self, position: Position) -> Position:
        """Return when there is more than up to `position`."""
        ...


async def follow(engine: Engine, moves: Moves, listing: Listing) -> AsyncGenerator[tuple[list[JsonObject], int]]:
    """Traces that came after `listing.now_ns` and meet its filter, oldest first, and how many more there were than are told.

    A trace is told once, when its first span is there: that is its last in time, so the whole of it. One that came more than a
    minute, or began more than a day, before the one told last is not told. Ends when it is closed.
    """
    told = collections.OrderedDict[str, None]()
    since, position = listing.now_ns, moves.position
    while True:
        position = await moves.beyond(position)
        rows = [row for row in await _came(engine, listing, since) if row[0] not in told]
        since = max([since, *(row[1] for row in rows)])
        told.update((row[0], None) for row in rows)
        while len(told) > _REMEMBERED:
            told.popitem(last=False)
        shown = [row[0] for row in rows[:_AT_ONCE]]
        if shown:
            wanted = replace(listing, among=shown, limit=len(shown), from_ns=None, to_ns=None)
            found = (await list_traces(engine, wanted))["items"]
            yield cast("list[JsonObject]", found)[::-1], len(rows) - len(shown)


async def _came(engine: Engine, listing: Listing, since: int) -> list[tuple[str, int]]:
    """Traces whose first span came since, the newest first."""
    where = Where()
    where.add("project = {project:String} AND root", project=listing.project)
    low, high = since - DAY_NS, since + 2 * DAY_NS
    where.clauses.append(window_sql(where, low, high))
    where.add("received > fromUnixTimestamp64Nano({since:Int64}, 'UTC')", since=max(listing.now_ns, since - _LATE_NS))
    compile_traces(listing.filter, where, project=listing.project, within=window_sql(where, low - DAY_NS, high))
    rows = await engine.query(
        f"SELECT toString(trace_id), toUnixTimestamp64Nano(received) AS came FROM spans WHERE {where.sql}"  # noqa: S608  (bound parameters)
        f" ORDER BY came DESC LIMIT 1 BY trace_id LIMIT {_LOOKED_AT}",
        where.parameters,
    )
    return [(str(row[0]), cast("int", row[1])) for row in rows]
