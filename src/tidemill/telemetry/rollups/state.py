"""Which buckets are right, and where a question's numbers are read: hours, minutes, or the spans themselves.

A minute is right when the build that counts saw its last mark. An hour, and an hour of users, is right when none of its minutes
is wrong and it was made of the builds that its minutes have now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast

from tidemill.telemetry.engine.protocol import Engine

MINUTE: Final = 60
HOUR: Final = 3600
_MOST_RANGES: Final = 120

Level: TypeAlias = Literal["minute", "hour", "user"]
Range: TypeAlias = tuple[int, int]
"""Seconds since the epoch, the first included, the last not."""

_MINUTES: Final = (
    "SELECT toUnixTimestamp(minute), mark, toUnixTimestamp(at) FROM"
    " (SELECT minute, mark, at FROM rollup_dirty FINAL WHERE project = {project:String}"
    " AND minute >= toDateTime({from:UInt32}) AND minute < toDateTime({to:UInt32})"
    " AND minute >= (SELECT max(before) FROM rollup_frozen WHERE project = {project:String})) AS dirty"
    " LEFT JOIN (SELECT bucket, mark AS seen FROM rollup_builds FINAL WHERE project = {project:String} AND level = 'minute'"
    " AND bucket >= toDateTime({from:UInt32}) AND bucket < toDateTime({to:UInt32})) AS built ON built.bucket = dirty.minute"
    " WHERE mark != seen ORDER BY minute"
)
_HOURS: Final = (
    "SELECT toUnixTimestamp(hour), parts, hour_seen, user_seen FROM"
    " (SELECT toStartOfHour(bucket) AS hour, sumIf(cityHash64(bucket, build), level = 'minute') AS parts,"
    " anyIf(mark, level = 'hour') AS hour_seen, anyIf(mark, level = 'user') AS user_seen"
    " FROM rollup_builds FINAL WHERE project = {project:String}"
    " AND bucket >= toDateTime({from:UInt32}) AND bucket < toDateTime({to:UInt32}) GROUP BY hour)"
    " WHERE parts != hour_seen OR parts != user_seen ORDER BY hour"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dirty:
    """What is not right within a range: minutes with the mark that they have now, hours with what they would be made of."""

    minutes: Mapping[int, int]
    marked: Mapping[int, int] = field(repr=False)
    """When each minute was marked, seconds since the epoch."""
    hours: Mapping[int, int]
    users: Mapping[int, int]


async def dirty_of(engine: Engine, project: str, within: Range) -> Dirty:
    """The buckets of a project that are not right. Two short queries."""
    first, last = floor(within[0], HOUR), ceil(within[1], HOUR)
    bound = {"project": project, "from": first, "to": last}
    minutes = cast("Sequence[tuple[int, int, int]]", await engine.query(_MINUTES, bound))
    hours = cast("Sequence[tuple[int, int, int, int]]", await engine.query(_HOURS, bound))
    return Dirty(
        minutes={at: mark for at, mark, _ in minutes},
        marked={at: when for at, _, when in minutes},
        hours={hour: parts for hour, parts, seen, _ in hours if parts != seen},
        users={hour: parts for hour, parts, _, seen in hours if parts != seen},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Where each part of a range is read; together they are the range, and no two overlap."""

    hours: Sequence[Range] = ()
    minutes: Sequence[Range] = ()
    spans: Sequence[Range] = ()

    @property
    def source(self) -> str:
        """In words: `rollups`, `spans`, or both."""
        rolled = bool(self.hours or self.minutes)
        return "rollups and spans" if rolled and self.spans else "rollups" if rolled or not self.spans else "spans"


def cover(within: Range, dirty: Dirty, *, level: Level) -> Coverage:
    """Where the numbers of a range of whole minutes are read. With `user`, `hours` are those of users."""
    wrong = sorted(at for at in dirty.minutes if within[0] <= at < within[1])
    found = _cover(within, wrong, dirty, level=level)
    if len(found.hours) + len(found.minutes) + len(found.spans) > _MOST_RANGES:
        whole = sorted({minute for at in wrong for minute in _minutes_of(floor(at, HOUR), within)})
        found = _cover(within, whole, dirty, level=level)
    if len(found.hours) + len(found.minutes) + len(found.spans) > _MOST_RANGES:
        return Coverage(spans=[within])
    return found


def _cover(within: Range, wrong: Sequence[int], dirty: Dirty, *, level: Level) -> Coverage:
    spans = merged((at, at + MINUTE) for at in wrong)
    if level == "minute":
        return Coverage(minutes=without(within, spans), spans=spans)
    stale = {floor(at, HOUR) for at in dirty.minutes} | set(dirty.users if level == "user" else dirty.hours)
    whole: Range = (ceil(within[0], HOUR), floor(within[1], HOUR))
    hours = without(whole, merged((hour, hour + HOUR) for hour in sorted(stale))) if whole[0] < whole[1] else []
    rest = without(within, hours)
    if level == "user":
        return Coverage(hours=hours, spans=rest)
    return Coverage(hours=hours, minutes=[part for each in rest for part in without(each, spans)], spans=spans)


def _minutes_of(hour: int, within: Range) -> Iterable[int]:
    return range(max(hour, within[0]), min(hour + HOUR, within[1]), MINUTE)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those that touch as one."""
    found: list[Range] = []
    for start, end in ranges:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def without(whole: Range, holes: Collection[Range]) -> list[Range]:
    """What is left of a range without others, which are in order."""
    found: list[Range] = []
    at = whole[0]
    for start, end in holes:
        if end <= at or start >= whole[1]:
            continue
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if at < whole[1]:
        found.append((at, whole[1]))
    return found


def floor(seconds: int, size: int) -> int:
    """The beginning of the bucket that a time is in."""
    return seconds // size * size


def ceil(seconds: int, size: int) -> int:
    """The beginning of the first bucket that does not begin before a time."""
    return -(-seconds // size) * size
