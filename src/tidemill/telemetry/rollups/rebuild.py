"""Keeps the roll-ups right: rebuilds the buckets in which spans came or went, and never adds to one.

A rebuild writes the rows of a new build, and then the build's number, which makes them count. A kill before the number leaves
rows that nobody reads; they are swept away later, as are the rows of old builds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, cast

import orjson

from tidemill.core.errors import Invalid, TidemillError
from tidemill.telemetry.engine.protocol import Engine, EngineDied, Refused
from tidemill.telemetry.rollups.sql import any_of, make_hours, make_minutes, make_users, moment
from tidemill.telemetry.rollups.state import HOUR, MINUTE, Coverage, Level, Range, ceil, cover, dirty_of, floor, merged
from tidemill.telemetry.schema.rollups import EARLY_SECONDS, MARKED

_GRACE: Final = 100.0
_PAUSE: Final = 20.0
_AT_ONCE: Final = 400_000
_SWEEP_SECONDS: Final = 600
_OLD_NS: Final = 300 * 10**9
_EVER: Final[Range] = (0, 4_102_444_800)  # spans start before the year 2100
_TABLES: Final = {"minute": "rollup_minute", "hour": "rollup_hour", "user": "rollup_user_hour"}
_AMONG: Final = "toUnixTimestamp(toStartOfMinute(start)) IN {minutes:Array(UInt32)}"
_log = logging.getLogger("tidemill.telemetry")


class Rollups:
    """The roll-ups of one span store. One event loop only.

    A minute is rebuilt when no span came for `grace` seconds, which is longer than an insert may take: a span whose mark is
    there but which is not visible yet would be missed otherwise. Until then a question reads that minute from the spans.
    """

    def __init__(self, engine: Engine, *, now_ns: Callable[[], int] = time.time_ns, grace: float = _GRACE) -> None:
        self._engine = engine
        self._now_ns = now_ns
        self._grace = grace
        self._lock = asyncio.Lock()
        self._more = asyncio.Event()
        self.pause = asyncio.Event()
        """Set it to end the pause between two rounds of rebuilding."""
        self._last_build = 0
        self._swept_ns = 0

    def wake(self) -> None:
        """Say that spans came. On the event loop only."""
        self._more.set()

    async def coverage(self, project: str, within: Range, *, level: Level) -> Coverage:
        """Where the numbers of a range (whole minutes) are to be read at the moment."""
        self._more.set()
        return cover(within, await dirty_of(self._engine, project, within), level=level)

    async def run(self) -> None:
        """Rebuild what is not right, again and again, until cancelled. The engine is left alone while nothing is to be done."""
        while True:
            await self._more.wait()
            self._more.clear()
            try:
                left = [await self.settle(project) for project in await self._projects()]
                await self._sweep()
            except (EngineDied, Refused, TidemillError) as error:
                _log.warning("roll-ups are rebuilt later; until then numbers are read from the spans: %s", error)
                left = [1]
            self.pause.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self.pause.wait()
            if any(left):
                self._more.set()

    async def settle(self, project: str, within: Range = _EVER, *, grace: float | None = None) -> int:
        """Rebuild what is not right within a range, some hundred thousand spans at a time; the minutes that are left.

        `grace` (default: as made) leaves out minutes in which something changed less than so many seconds ago; 0 only when
        nothing is being stored meanwhile.
        """
        async with self._lock:
            dirty = await dirty_of(self._engine, project, within)
            latest = self._now_ns() / 1e9 - (self._grace if grace is None else grace)
            ready = {at: mark for at, mark in dirty.minutes.items() if dirty.marked[at] <= latest}
            for hours in await self._chunks(project, {floor(at, HOUR) for at in ready} | set(dirty.hours) | set(dirty.users)):
                await self._rebuild(project, hours, {at: mark for at, mark in ready.items() if floor(at, HOUR) in hours})
            return len(dirty.minutes) - len(ready)

    async def mark_dirty(self, project: str, from_ns: int, to_ns: int) -> None:
        """Say that spans that start in `[from_ns, to_ns)` were deleted or changed in place, so that their numbers follow.

        Call it when the change is done; and before it too where a kill between the two would not lead to it being done again.
        Buckets that are frozen stay. Raises `EngineDied` or `Refused`.
        """
        if from_ns >= to_ns:
            raise Invalid(f"a range from {from_ns} to {to_ns} is empty")
        bound = {
            "project": project,
            "from": max(0, floor(from_ns // 10**9, MINUTE) - MINUTE),
            "to": min(_EVER[1], ceil(-(-to_ns // 10**9), MINUTE)),
        }
        known = (
            "SELECT bucket FROM rollup_builds WHERE project = {project:String} AND level = 'minute'"
            " AND bucket >= toDateTime({from:UInt32}) AND bucket < toDateTime({to:UInt32})"
        )
        there = (
            f"SELECT {MARKED} AS minute FROM spans WHERE project = {{project:String}}"  # noqa: S608  (SQL of ours)
            f" AND start >= {moment('from')} AND start < {moment('to')}"
        )
        await self._engine.execute(
            "INSERT INTO rollup_dirty (project, minute, mark, at)"  # noqa: S608  (SQL of ours)
            " SELECT {project:String}, minute, any(rand64()), any(now()) FROM"
            f" (SELECT bucket AS minute FROM ({known}) UNION ALL {there}) GROUP BY minute",
            bound,
        )
        self._more.set()

    async def freeze(self, project: str, before_ns: int) -> None:
        """Keep the numbers of all that started before, whatever becomes of its spans: call it before retention deletes them.

        What is not right there is rebuilt first. A span that comes later and started before does not count any more.
        """
        before = floor(before_ns // 10**9, HOUR)
        if before <= 0:
            return
        await self.settle(project, (0, before), grace=0)
        await self._engine.insert(orjson.dumps({"project": project, "before": before}), table="rollup_frozen")

    async def forget(self, project: str, *, before_ns: int | None = None, user: str | None = None) -> None:
        """Delete numbers: of a project, of what started before a time, or of a user (whose name is in the numbers by user)."""
        if user is not None:
            await self._engine.execute(
                "DELETE FROM rollup_user_hour WHERE project = {project:String} AND user = {user:String}",
                {"project": project, "user": user},
            )
            return
        before = _EVER[1] if before_ns is None else floor(before_ns // 10**9, HOUR)
        for table in _TABLES.values():
            await self._engine.execute(
                f"DELETE FROM {table} WHERE project = {{project:String}} AND bucket < toDateTime({{before:UInt32}})",  # noqa: S608  (names of ours)
                {"project": project, "before": before},
            )

    async def _projects(self) -> Sequence[str]:
        return [str(row[0]) for row in await self._engine.query("SELECT DISTINCT project FROM rollup_dirty", {})]

    async def _chunks(self, project: str, hours: Iterable[int]) -> Sequence[set[int]]:
        """Hours put together so that none of the parts has very many spans, unless one hour alone has."""
        wanted = sorted(hours)
        if not wanted:
            return []
        rows = await self._engine.query(
            "SELECT toUnixTimestamp(toStartOfHour(start)) AS hour, count() FROM spans WHERE project = {project:String}"  # noqa: S608  (SQL of ours)
            f" AND start >= {moment('from')} AND start < {moment('to')} GROUP BY hour",
            {"project": project, "from": wanted[0], "to": wanted[-1] + HOUR},
        )
        counts = cast("dict[int, int]", {row[0]: row[1] for row in rows})
        parts: list[set[int]] = [set()]
        size = 0
        for hour in wanted:
            if parts[-1] and (size + counts.get(hour, 0) > _AT_ONCE or len(parts[-1]) == 48):
                parts.append(set())
                size = 0
            parts[-1].add(hour)
            size += counts.get(hour, 0)
        return parts

    async def _rebuild(self, project: str, hours: set[int], minutes: Mapping[int, int]) -> None:
        if minutes:
            await self.build_minutes(project, minutes)
        within = (min(hours), max(hours) + HOUR)
        now = await dirty_of(self._engine, project, within)
        busy = {floor(at, HOUR) for at in now.minutes}  # rebuilt when its last minute is
        await self.build_hours(project, {at: parts for at, parts in now.hours.items() if at in hours and at not in busy})
        await self.build_users(project, {at: parts for at, parts in now.users.items() if at in hours and at not in busy})

    async def build_minutes(self, project: str, marks: Mapping[int, int]) -> None:
        """Make minutes anew from their spans; `marks` are those that were seen before."""
        ranges = _grouped({floor(at, HOUR) for at in marks}, HOUR)
        bound: dict[str, object] = {"project": project, "build": (build := await self._next_build()), "minutes": sorted(marks)}
        where = f"({any_of(ranges, column='start', parameters=bound)}) AND {_AMONG}"
        inner = any_of(ranges, column="start", parameters=bound, ahead=EARLY_SECONDS)
        await self._engine.execute(make_minutes(where, inner), bound)
        await self._count(project, "minute", build, marks)

    async def build_hours(self, project: str, parts: Mapping[int, int]) -> None:
        """Make hours anew from their minutes; `parts` say of which builds."""
        if parts:
            bound: dict[str, object] = {"project": project, "build": (build := await self._next_build())}
            where = any_of(_grouped(parts, HOUR), column="bucket", parameters=bound)
            await self._engine.execute(make_hours(where), bound)
            await self._count(project, "hour", build, parts)

    async def build_users(self, project: str, parts: Mapping[int, int]) -> None:
        """Make hours by user anew from the spans; `parts` say which builds of minutes those spans are in."""
        if parts:
            ranges = _grouped(parts, HOUR)
            bound: dict[str, object] = {"project": project, "build": (build := await self._next_build())}
            where = any_of(ranges, column="start", parameters=bound)
            inner = any_of(ranges, column="start", parameters=bound, ahead=EARLY_SECONDS)
            await self._engine.execute(make_users(where, inner), bound)
            await self._count(project, "user", build, parts)

    async def _count(self, project: str, level: Level, build: int, marks: Mapping[int, int]) -> None:
        rows = [{"project": project, "level": level, "bucket": at, "build": build, "mark": mark} for at, mark in marks.items()]
        await self._engine.insert(b"\n".join(map(orjson.dumps, rows)), table="rollup_builds")

    async def _next_build(self) -> int:
        if not self._last_build:
            self._last_build = cast("int", (await self._engine.query("SELECT max(build) FROM rollup_builds", {}))[0][0])
        self._last_build = max(self._now_ns(), self._last_build + 1)
        return self._last_build

    async def _sweep(self) -> None:
        """Delete rows that do not count, when they are old enough that no question reads them."""
        now = self._now_ns()
        if now - self._swept_ns < _SWEEP_SECONDS * 10**9:
            return
        self._swept_ns = now
        for level, table in _TABLES.items():
            old = (
                f"build < {{old:UInt64}} AND (project, bucket, build) NOT IN (SELECT project, bucket, max(build)"  # noqa: S608  (names of ours)
                f" FROM rollup_builds WHERE level = '{level}' GROUP BY project, bucket)"
            )
            bound = {"old": now - _OLD_NS}
            if (await self._engine.query(f"SELECT count() FROM {table} WHERE {old}", bound))[0][0]:  # noqa: S608  (names of ours)
                await self._engine.execute(f"DELETE FROM {table} WHERE {old}", bound)  # noqa: S608  (names of ours)


def _grouped(times: Iterable[int], size: int) -> Sequence[Range]:
    return merged((at, at + size) for at in sorted(times))
