"""Spans added up: the one SELECT that roll-ups are made by and that is asked of spans where a roll-up does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.telemetry.charged import BILLED, repeating
from tidemill.telemetry.numbers.histogram import place_sql
from tidemill.telemetry.schema.rollups import DIMENSIONS, MARKED, TOKENS

_MOST_PLACES: Final = 8192  # beyond, a row counts spans by place instead of listing each one's place
_MINUTE: Final = "toStartOfMinute(start)"
SUMS: Final = (
    "spans", "weighted", "errors", *TOKENS, "cost", "priced", "cost_squares", "duration", "duration_squares",
    "first_token_time",
)  # fmt: skip
"""What is summed; each but `spans` and `cost_squares` is weighted."""
PLACES: Final = ("latency", "first_token")


def charged_sql(where: str) -> str:
    """Whether a span's tokens and cost are its own; `where` bounds the start of calls that may be inside it.

    A span inside another is seen where it began in the same minute, or just after it.
    """
    inner = repeating(f"spans WHERE project = {{project:String}} AND ({where})", columns=f", {MARKED}")
    return f"{BILLED} AND (trace_id, toString(span_id), {_MINUTE}) NOT IN ({inner})"


def added_up(*, bucket: str, by: Mapping[str, str], where: str, inner: str) -> str:
    """Spans that meet `where` (SQL), added up by bucket and by dimensions, given as SQL by their names, and by weight.

    `inner` bounds the calls that may be inside others. The columns are `bucket`, those of `by`, `weight`, `SUMS`, and a list
    of places each for `PLACES`.
    """
    columns = "".join(f", {sql} AS {name}" for name, sql in by.items())
    names = "".join(f", {name}" for name in by)
    tokens = "".join(f", sumIf(w * {name}, charged) AS {name}" for name in TOKENS)
    return (
        f"SELECT {bucket} AS bucket{names},"  # noqa: S608  (SQL of ours)
        " if(w = 1, 1, round(w, 1 - toInt32(floor(log10(w))))) AS weight,"
        " count() AS spans, sum(w) AS weighted, sumIf(w, failed) AS errors"
        f"{tokens},"
        " sumIf(w * price, charged AND known) AS cost, sumIf(w, charged AND known) AS priced,"
        " sumIf(price * price, charged AND known) AS cost_squares,"
        " sum(w * duration_ns) AS duration, sum(w * duration_ns * toFloat64(duration_ns)) AS duration_squares,"
        " sum(w * first_token_ns) AS first_token_time,"
        f" arraySort(groupArray({place_sql('duration_ns')})) AS latency, CAST([], 'Array(UInt32)') AS latency_counts,"
        f" arraySort(groupArrayIf({place_sql('first_token_ns')}, first_token_ns > 0)) AS first_token,"
        " CAST([], 'Array(UInt32)') AS first_token_counts"
        f" FROM (SELECT start{columns}, greatest(weight, 1e-9) AS w, status = 'error' AS failed, duration_ns, first_token_ns,"
        f" ifNull(cost, 0) AS price, cost IS NOT NULL AS known, {', '.join(TOKENS)}, {charged_sql(inner)} AS charged"
        f" FROM spans FINAL WHERE project = {{project:String}} AND ({where}))"
        f" GROUP BY bucket{names}, weight"
    )


def make_minutes(where: str, inner: str) -> str:
    """Fill `rollup_minute` with the spans that meet `where`."""
    body = added_up(bucket=_MINUTE, by={name: name for name in DIMENSIONS}, where=where, inner=inner)
    return _fill("rollup_minute", body)


def make_hours(where: str) -> str:
    """Fill `rollup_hour` from the right rows of `rollup_minute`; `where` picks those by their `bucket`."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    places = ", ".join(f"groupArrayArray({name}) AS {name}, groupArrayArray({name}_each) AS {name}_counts" for name in PLACES)
    each = ", ".join(f"{_counts(name)} AS {name}_each" for name in PLACES)
    names = ", ".join((*DIMENSIONS, "weight"))
    body = (
        f"SELECT toStartOfHour(bucket) AS hour, {names}, {sums}, {places}"  # noqa: S608  (SQL of ours)
        f" FROM (SELECT *, {each} FROM rollup_minute WHERE {current('minute', where)}) GROUP BY hour, {names}"
    )
    return _fill("rollup_hour", body, bucket="hour")


def make_users(where: str, inner: str) -> str:
    """Fill `rollup_user_hour` with the spans that meet `where`."""
    body = users_added_up(bucket="toStartOfHour(start)", where=where, inner=inner)
    columns = ", ".join(("bucket", "user", *USER_SUMS))
    return (
        f"INSERT INTO rollup_user_hour (project, build, {columns})"  # noqa: S608  (SQL of ours)
        f" SELECT {{project:String}}, {{build:UInt64}}, {columns} FROM ({body})"
    )


USER_SUMS: Final = (
    "spans", "requests", "failed_requests", "weighted", "errors", *TOKENS, "cost", "priced", "cost_squares",
)  # fmt: skip


def users_added_up(*, bucket: str, where: str, inner: str) -> str:
    """Spans of known users added up by bucket and user.

    A span without one is its trace's, when the trace's first span has one and began in the same hour.
    """
    tokens = "".join(f", sumIf(w * {name}, charged) AS {name}" for name in TOKENS)
    return (
        f"SELECT {bucket} AS bucket, if(own != '', own, whose.owner) AS user, count() AS spans, sumIf(w, root) AS requests,"  # noqa: S608  (SQL of ours)
        f" sumIf(w, root AND failed) AS failed_requests, sum(w) AS weighted, sumIf(w, failed) AS errors{tokens},"
        " sumIf(w * price, charged AND known) AS cost, sumIf(w, charged AND known) AS priced,"
        " sumIf(price * price, charged AND known) AS cost_squares"
        " FROM (SELECT trace_id, toStartOfHour(start) AS hour, start, user AS own, root, greatest(weight, 1e-9) AS w,"
        f" status = 'error' AS failed, ifNull(cost, 0) AS price, cost IS NOT NULL AS known, {', '.join(TOKENS)},"
        f" {charged_sql(inner)} AS charged"
        f" FROM spans FINAL WHERE project = {{project:String}} AND ({where})) AS each"
        " LEFT ANY JOIN (SELECT trace_id, toStartOfHour(start) AS hour, user AS owner FROM spans"
        f" WHERE project = {{project:String}} AND ({where}) AND root AND user != '') AS whose USING (trace_id, hour)"
        " WHERE user != '' GROUP BY bucket, user"
    )


def current(level: str, where: str) -> str:
    """A condition on rows of a level (`minute`, `hour`, `user`): of the project, in `where`, of the build that counts."""
    return (
        f"project = {{project:String}} AND ({where}) AND (bucket, build) IN"  # noqa: S608  (SQL of ours)
        f" (SELECT bucket, max(build) FROM rollup_builds WHERE project = {{project:String}} AND level = '{level}'"
        f" AND ({where}) GROUP BY bucket)"
    )


def moment(seconds: str) -> str:
    """A bound parameter, in seconds since the epoch, as a constant to compare the start of spans with.

    Never `toDateTime`: to ClickHouse's indexes that is a whole number, before which comes the whole number before it, so that
    `start < toDateTime(60)` passes over a part whose spans all start between 59 and 60.
    """
    return f"toDateTime64({{{seconds}:UInt32}}, 9, 'UTC')"


def any_of(ranges: Sequence[tuple[int, int]], *, column: str, parameters: dict[str, object], ahead: int = 0) -> str:
    """That a time lies in one of these ranges of seconds, `[from, to + ahead)`; the values are added to `parameters`."""
    said: list[str] = []
    for start, end in ranges:
        first, last = f"t{len(parameters)}", f"t{len(parameters) + 1}"
        parameters[first], parameters[last] = start, end + ahead
        low, high = (moment(each) if column == "start" else f"toDateTime({{{each}:UInt32}})" for each in (first, last))
        said.append(f"{column} >= {low} AND {column} < {high}")
    return " OR ".join(f"({each})" for each in said) or "0"


def _counts(name: str) -> str:
    return f"if(empty({name}_counts), arrayWithConstant(length({name}), toUInt32(1)), {name}_counts)"


def _fill(table: str, body: str, *, bucket: str = "bucket") -> str:
    """Insert what `body` adds up, with long lists of places counted."""
    names = ", ".join((*DIMENSIONS, "weight", *SUMS))
    pairs = [_compact(name) for name in PLACES]
    listed = ", ".join(f"{name}, {name}_counts" for name in PLACES)
    return (
        f"INSERT INTO {table} (project, bucket, build, {names}, {listed})"  # noqa: S608  (SQL of ours)
        f" SELECT {{project:String}}, {bucket}, {{build:UInt64}}, {names}, {', '.join(pairs)} FROM ({body})"
    )


def _compact(name: str) -> str:
    """Two columns: the places, and how many spans are at each; without counts, a place stands there for each span."""
    listed = f"length({name}) <= {_MOST_PLACES} AND NOT arrayExists(count -> count > 1, {name}_counts)"
    different = f"arraySort(arrayDistinct({name}))"
    count = (
        f"if(empty({name}_counts), toUInt32(countEqual({name}, place)),"
        f" toUInt32(arraySum(arrayMap((at, n) -> if(at = place, n, 0), {name}, {name}_counts))))"
    )
    return (
        f"if({listed}, arraySort({name}), {different}),"
        f" if({listed}, CAST([], 'Array(UInt32)'), arrayMap(place -> {count}, {different}))"
    )
