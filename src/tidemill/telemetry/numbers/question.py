"""A question of numbers as it was read: what is measured, of which spans, by what, over which time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.expression import COLUMNS, Expression, parse
from tidemill.telemetry.expression.syntax import Key, conditions_of
from tidemill.telemetry.numbers.measures import Measure, Scope, measure_of
from tidemill.telemetry.numbers.point_names import check_dimension
from tidemill.telemetry.rollups.state import HOUR, MINUTE, Range
from tidemill.telemetry.schema.rollups import DIMENSIONS

Interval: TypeAlias = Literal["minute", "hour", "day", "none"]
_INTERVALS: Final = ("auto", *get_args(Interval))
_MOST_BUCKETS: Final = 5000
_MOST_BY: Final = 4
_MOST_MEASURES: Final = 20
LARGEST_LIMIT: Final = 1000
_NOT_BY: Final = frozenset({"input", "output", "text", "error"})
_OF_CALLS: Final = frozenset({"model", "provider"})
_OF_SPANS: Final = frozenset({"kind", "name", "step", "scope", "dialect", "finish_reason"})
_SCOPES: Final = ("requests", "calls", "spans")
_LAST: Final = 4_102_444_800  # spans start before the year 2100


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Read and checked. `within` is in whole buckets; `order` is one of the measures' names."""

    project: str
    measures: Sequence[Measure]
    by: Sequence[tuple[str, Key]]
    of: Scope
    within: Range
    interval: Interval
    zone: str
    filter: Expression
    order: str
    descending: bool = True
    limit: int = 100
    mentioned: frozenset[str] = field(default_factory=frozenset[str])
    """Every column, by name, that is grouped by or filtered on; others are named with their prefix."""

    @property
    def of_points(self) -> bool:
        """Whether it is about points of metrics, not about spans."""
        return self.of == "points"

    @property
    def from_rollups(self) -> bool:
        """Whether the roll-ups by time have all that is asked for."""
        counted = any(each.counted or each.score for each in self.measures)
        return not counted and self.mentioned <= set(DIMENSIONS) - {"root"}

    @property
    def from_users(self) -> bool:
        """Whether the roll-ups by user have all that is asked for."""
        asked = set(self.mentioned) == {"user"} and self.of == "requests" and self.interval != "minute"
        return asked and not any(each.counted or each.score or each.timed or each.unit == "ms" for each in self.measures)

    @property
    def starts(self) -> Sequence[int]:
        """The first second of each bucket; one for all without an interval."""
        return bucket_starts(self.within, self.interval, self.zone)


def read_question(  # noqa: PLR0913  (each is a part of the question)
    project: str,
    *,
    measures: Sequence[str],
    by: Sequence[str] = (),
    of: str | None = None,
    from_ns: int | None,
    to_ns: int | None,
    now_ns: int,
    interval: str = "none",
    zone: str = "UTC",
    filter: str | Expression = "",  # noqa: A002  (the API's name)
    order: str | None = None,
    limit: int = 100,
) -> Question:
    """Read a question. Without `from_ns` it is about the day before `to_ns`, which is now when it is missing.

    Raises `Invalid` for what is unknown, too much, or does not fit together.
    """
    _check_size(measures, limit)
    asked = tuple(measure_of(name) for name in dict.fromkeys(measures))
    keys = tuple((name, dimension_of(name)) for name in dict.fromkeys(by))
    if len(keys) > _MOST_BY:
        raise Invalid(f"numbers by {len(keys)} dimensions are too many", hint=f"Name at most {_MOST_BY}.")
    expression = parse(filter, now_ns=now_ns) if isinstance(filter, str) else filter
    pointed = _is_of_points(asked, keys, of, expression)
    mentioned = {_mention(key) for _, key in keys} | {_mention(each.key) for each in conditions_of(expression)}
    last = now_ns if to_ns is None else to_ns
    first = last - 86_400 * 10**9 if from_ns is None else from_ns
    scope: Scope = "points" if pointed else _scope(of, mentioned)
    chosen, within = _aligned(first, last, interval, zone)
    name = (order or f"-{asked[0].name}").removeprefix("-")
    if name not in {each.name for each in asked}:
        raise Invalid(f"cannot order by {name!r}", hint=did_you_mean(name, [each.name for each in asked]))
    return Question(
        project=project, measures=asked, by=keys, of=scope, within=within, interval=chosen, zone=zone,
        filter=expression, order=name, descending=order is None or order.startswith("-"), limit=limit,
        mentioned=frozenset(mentioned),
    )  # fmt: skip


def _is_of_points(asked: Sequence[Measure], keys: Sequence[tuple[str, Key]], of: str | None, expression: Expression) -> bool:
    """Whether points of metrics are asked for. Raises `Invalid` for what they have not, and where spans are asked for too."""
    pointed = [each.name for each in asked if each.metric]
    if not pointed:
        return False
    if len(pointed) < len(asked):
        other = next(each.name for each in asked if not each.metric)
        raise Invalid(
            f"{pointed[0]!r} is of a metric's points, {other!r} of spans", hint="Ask for each in a question of its own."
        )
    if of not in {None, "points"}:
        raise Invalid(f"{pointed[0]!r} is of a metric's points, not of {of}", hint="Leave out `of`.")
    if any(True for _ in conditions_of(expression)):
        raise Invalid("a filter is about spans, and metrics have points", hint="Leave it out, and group by an attribute.")
    for name, key in keys:
        check_dimension(name, key)
    return True


def _check_size(measures: Sequence[str], limit: int) -> None:
    if not measures or len(measures) > _MOST_MEASURES:
        raise Invalid(
            f"{len(measures)} measures are asked for", hint=f"Name 1 to {_MOST_MEASURES}, as in requests, latency.p95."
        )
    if not 1 <= limit <= LARGEST_LIMIT:
        raise Invalid(f"limit {limit} is out of range", hint=f"Use 1 to {LARGEST_LIMIT}.")


def dimension_of(name: str) -> Key:
    """What is grouped by: a column, a tag's name, an attribute. Raises `Invalid`."""
    try:
        found = [each.key for each in conditions_of(parse(f"{name} exists"))]
    except Invalid:
        found = []
    if len(found) != 1 or found[0].scope in {"score", "feedback"} or found[0].name in _NOT_BY:
        raise Invalid(f"numbers cannot be by {name!r}", hint=f"{did_you_mean(name, _dimensions())} Also tag.NAME, attributes.")
    if found[0].scope == "column" and COLUMNS[found[0].name].type not in {"text", "list"}:
        raise Invalid(f"{name!r} is a number, and numbers cannot be by it", hint=f"By: {', '.join(_dimensions())}.")
    return found[0]


def _dimensions() -> list[str]:
    return [each.name for each in COLUMNS.values() if each.type == "text" and each.name not in _NOT_BY]


def _mention(key: Key) -> str:
    return key.name if key.scope == "column" else f"{key.scope}.{key.name}"


def _scope(of: str | None, mentioned: set[str]) -> Scope:
    if of is not None:
        if of not in _SCOPES:
            raise Invalid(f"numbers are not of {of!r}", hint=f"Use one of: {', '.join(_SCOPES)}.")
        return cast("Scope", of)
    if mentioned & _OF_CALLS:
        return "calls"
    return "spans" if mentioned & _OF_SPANS else "requests"


def _aligned(from_ns: int, to_ns: int, interval: str, zone: str) -> tuple[Interval, Range]:
    if interval not in _INTERVALS:
        raise Invalid(f"unknown interval {interval!r}", hint=f"Use one of: {', '.join(_INTERVALS)}.")
    first, last = max(0, from_ns // 10**9), min(_LAST, -(-to_ns // 10**9))
    if first >= last:
        raise Invalid("the time asked for ends before it begins", hint="Give a `from` that is before `to`.")
    chosen = cast("Interval", _fitting(last - first) if interval == "auto" else interval)
    within = (_start_of(first, chosen, zone), _end_of(last, chosen, zone))
    if chosen != "none" and (within[1] - within[0]) / _SECONDS[chosen] > _MOST_BUCKETS:
        raise Invalid(
            f"{(within[1] - within[0]) / _SECONDS[chosen]:.0f} {chosen}s are more than the {_MOST_BUCKETS} that are answered",
            hint="Narrow from and to, or take a longer interval.",
        )
    return chosen, within


_SECONDS: Final = {"minute": MINUTE, "hour": HOUR, "day": 24 * HOUR, "none": MINUTE}


def _fitting(seconds: int) -> Interval:
    return "minute" if seconds <= 3 * HOUR else "hour" if seconds <= 8 * 24 * HOUR else "day"


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises `Invalid`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(f"unknown time zone {name!r}", hint="Write its IANA name, as in Europe/Berlin, or UTC.") from error


def whole_hours(within: Range, zone: str) -> bool:
    """Whether days of a zone begin on whole hours of UTC throughout."""
    found = zone_of(zone)
    offsets = [dt.datetime.fromtimestamp(at, found).utcoffset() or dt.timedelta() for at in within]
    return all(each.total_seconds() % HOUR == 0 for each in offsets)


def _day(seconds: int, zone: str, *, later: int = 0) -> int:
    found = zone_of(zone)
    day = dt.datetime.fromtimestamp(seconds, found).date() + dt.timedelta(days=later)
    return int(dt.datetime.combine(day, dt.time(), found).timestamp())


def _start_of(seconds: int, interval: Interval, zone: str) -> int:
    if interval == "day":
        return max(0, _day(seconds, zone))
    zone_of(zone)
    return seconds // _SECONDS[interval] * _SECONDS[interval]


def _end_of(seconds: int, interval: Interval, zone: str) -> int:
    if interval == "day":
        start = _day(seconds, zone)
        return start if start == seconds else _day(seconds, zone, later=1)
    return -(-seconds // _SECONDS[interval]) * _SECONDS[interval]


def bucket_starts(within: Range, interval: Interval, zone: str) -> Sequence[int]:
    """The first second of each bucket of a range."""
    if interval == "none":
        return [within[0]]
    if interval != "day":
        return range(within[0], within[1], _SECONDS[interval])
    found = [within[0]]
    while (following := _day(found[-1], zone, later=1)) < within[1]:
        found.append(following)
    return found
