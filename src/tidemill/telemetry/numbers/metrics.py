"""Numbers of metrics' points (`metric.NAME.sum`, `.count`, `.mean`, `.p95`), which are stored as they were sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from tidemill.core.errors import Invalid
from tidemill.telemetry.expression import Where
from tidemill.telemetry.expression.syntax import Key
from tidemill.telemetry.numbers.point_names import ATTRIBUTES, COLUMNS
from tidemill.telemetry.numbers.points import Cumulative, Points, segments_of, since

if TYPE_CHECKING:
    from tidemill.telemetry.engine.protocol import Engine
    from tidemill.telemetry.numbers.question import Question

Place: TypeAlias = tuple[int, tuple[str, ...]]
_Form: TypeAlias = Callable[[str, str, str, str], str]
Found: TypeAlias = dict[Place, dict[str, Points]]
_MOST_ROWS: Final = 200_000
_BEFORE_NS: Final = 24 * 3600 * 10**9
"""How long before the time asked for the last point of a series is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """One row of an answer: its place, the metric's name, and the rest of its columns."""

    place: Place
    name: str
    rest: Sequence[object]


async def points_of(engine: Engine, question: Question) -> Found:
    """By place and metric what the points say. Raises `Invalid` when there are too many."""
    found: Found = {}
    names = sorted({each.metric for each in question.measures if each.metric})
    for row in await _rows(engine, question, names, _added_up):
        _take(found, row)
    earlier: tuple[object, Cumulative] | None = None
    from_ns = question.within[0] * 10**9
    for row in await _rows(engine, question, names, _cumulative):
        series, point, least, most = _point(row)
        before = earlier[1] if earlier is not None and earlier[0] == series else None
        earlier = (series, point)
        if point.time >= from_ns:
            total, count, buckets = since(before, point, from_ns=from_ns)
            into = _into(found, row)
            into.n += 1
            into.add(point.kind, total, count)
            _add_buckets(into, point.bounds, buckets, least, most)
    return found


def _into(found: Found, row: _Row) -> Points:
    return found.setdefault(row.place, {}).setdefault(row.name, Points())


def _add_buckets(
    into: Points, bounds: Sequence[float], buckets: Sequence[float] | None, least: float | None, most: float | None
) -> None:
    if buckets is None:
        into.unclear = True
    elif buckets:
        into.segments += segments_of(bounds, buckets, least, most)


def _take(found: Found, row: _Row) -> None:
    """A row of points that each tell what happened since the one before, or of readings."""
    kind, n, total, count, bounds, buckets, least, most, read = row.rest
    into = _into(found, row)
    into.n += cast("int", n)
    if kind == "gauge":
        into.gauges += cast("list[float]", read)
        return
    into.add(str(kind), cast("float", total), cast("float", count))
    _add_buckets(
        into, cast("list[float]", bounds), cast("list[float]", buckets), cast("float | None", least), cast("float | None", most)
    )


def _point(row: _Row) -> tuple[object, Cumulative, float | None, float | None]:
    kind, series, start, time, value, count, bounds, buckets, least, most = row.rest
    point = Cumulative(
        kind=str(kind), start=cast("int", start), time=cast("int", time), value=cast("float", value),
        count=cast("float", count), bounds=cast("list[float]", bounds), buckets=cast("list[float]", buckets),
    )  # fmt: skip
    return (row.name, series), point, cast("float | None", least), cast("float | None", most)


async def _rows(engine: Engine, question: Question, names: Sequence[str], form: _Form) -> Sequence[_Row]:
    where = Where()
    begins = question.within[0] * 10**9 - (_BEFORE_NS if form is _cumulative else 0)
    where.add(
        "project = {project:String} AND name IN {names:Array(String)}"
        " AND time >= fromUnixTimestamp64Nano({begins:Int64}, 'UTC') AND time < fromUnixTimestamp64Nano({ends:Int64}, 'UTC')",
        project=question.project, names=list(names), begins=max(0, begins), ends=question.within[1] * 10**9,
    )  # fmt: skip
    by = [_dimension(key, where) for _, key in question.by]
    listed = "".join(f", {sql} AS d{place}" for place, sql in enumerate(by))
    if form is _cumulative:
        where.parameters["asked"] = question.within[0] * 10**9
    sql = form(_at(question, where), listed, "".join(f", d{place}" for place in range(len(by))), where.sql)
    rows = await engine.query(f"{sql} LIMIT {_MOST_ROWS + 1}", where.parameters)
    if len(rows) > _MOST_ROWS:
        raise Invalid(
            f"there are more than {_MOST_ROWS} series and buckets", hint="Narrow from and to, or take longer intervals."
        )
    size = 1 + len(by)
    return [
        _Row(place=(cast("int", row[0]), tuple(str(each) for each in row[1:size])), name=str(row[size]), rest=row[size + 1 :])
        for row in rows
    ]


def _added_up(at: str, by: str, names: str, where: str) -> str:
    return (
        f"SELECT {at} AS at{by}, name, kind, count(), sum(value), sum(count), bounds, sumForEach(buckets),"  # noqa: S608  (bound parameters)
        " min(min) AS least, max(max) AS most, groupArrayIf(100000)(value, kind = 'gauge') FROM metric_points FINAL"
        f" WHERE {where} AND temporality != 'cumulative' AND kind != 'summary' GROUP BY at{names}, name, kind, bounds"
    )


def _cumulative(at: str, by: str, _: str, where: str) -> str:
    """The last point of each series in each bucket, and of each time that it began anew."""
    return (
        f"SELECT {at} AS at{by}, name, kind, series, toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(time), value, count,"  # noqa: S608  (bound parameters)
        f" bounds, buckets, min, max FROM (SELECT * FROM metric_points FINAL WHERE {where}"
        " AND (temporality = 'cumulative' OR kind = 'summary') ORDER BY time DESC"
        f" LIMIT 1 BY name, series, start, {at}, time >= fromUnixTimestamp64Nano({{asked:Int64}}, 'UTC'))"
        " ORDER BY name, series, time"
    )


def _dimension(key: Key, where: Where) -> str:
    if key.scope == "column" and key.name in COLUMNS:
        return f"toString({key.name})"
    held = "resource" if key.scope == "resource" else "attributes"
    names = ATTRIBUTES.get(key.name, (key.name,)) if key.scope == "column" else (key.name,)
    texts = [f"trim(BOTH '\"' FROM {held}[{where.bind(name, 'String')}])" for name in names]
    return texts[0] if len(texts) == 1 else f"if({texts[0]} != '', {texts[0]}, {texts[1]})"


def _at(question: Question, where: Where) -> str:
    if question.interval == "day":
        return f"toUnixTimestamp(toStartOfDay(time, {where.bind(question.zone, 'String')}))"
    starts = {"minute": "toStartOfMinute", "hour": "toStartOfHour"}
    return f"toUnixTimestamp({starts[question.interval]}(time))" if question.interval in starts else "toUInt32(0)"
