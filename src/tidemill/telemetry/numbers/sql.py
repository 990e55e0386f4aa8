"""A question of numbers in SQL: sums read from roll-ups where they are right and have what is asked, else from spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidemill.telemetry.expression import COLUMNS, Where, compile_spans
from tidemill.telemetry.expression.syntax import Key
from tidemill.telemetry.numbers.question import Question
from tidemill.telemetry.questions.trace import BILLED_KINDS
from tidemill.telemetry.rollups.sql import SUMS, added_up, any_of, current, users_added_up
from tidemill.telemetry.rollups.state import Coverage, Level, Range
from tidemill.telemetry.schema.rollups import EARLY_SECONDS, TOKENS

MOST_ROWS: Final = 100_000
_CALLS: Final = "kind IN (" + ", ".join(f"'{kind}'" for kind in sorted(BILLED_KINDS)) + ")"
_OF: Final = {"requests": "root", "calls": _CALLS, "spans": "1"}
_PLACES: Final = "latency, latency_counts, first_token, first_token_counts"
_COUNTS: Final = "if(empty({0}_counts), arrayWithConstant(length({0}), toUInt32(1)), {0}_counts)"
_USER_TABLE: Final = {"hour": "rollup_hour", "minute": "rollup_minute", "user": "rollup_user_hour"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A query and what it is bound to."""

    sql: str
    parameters: Mapping[str, object]


def level_of(question: Question, *, whole_hours: bool) -> Level | None:
    """The roll-up that answers; None when only the spans do."""
    if question.from_users and whole_hours:
        return "user"
    if question.from_rollups:
        return "minute" if question.interval == "minute" or not whole_hours else "hour"
    return None


class Source:
    """Rows of sums: `bucket`, `d0` and on, `root`, `kind`, `weight`, `SUMS`, and lists of places."""

    def __init__(self, question: Question, coverage: Coverage, level: Level | None) -> None:
        self._question = question
        self._level = level
        self._where = Where()
        self.parameters: dict[str, object] = self._where.parameters
        self.parameters["project"] = question.project
        self.names = [f"d{number}" for number in range(len(question.by))]
        compile_spans(question.filter, self._where, project=question.project)
        self._met = self._where.sql
        self.sql = " UNION ALL ".join(f"({each})" for each in self._parts(coverage)) or self._spans([(0, 0)])

    def _parts(self, coverage: Coverage) -> Sequence[str]:
        hours = [self._rolled("user" if self._level == "user" else "hour", coverage.hours)] if coverage.hours else []
        minutes = [self._rolled("minute", coverage.minutes)] if coverage.minutes else []
        return [*hours, *minutes, *([self._spans(coverage.spans)] if coverage.spans else [])]

    def _rolled(self, level: str, ranges: Sequence[Range]) -> str:
        where = current(level, any_of(ranges, column="bucket", parameters=self.parameters))
        if level == "user":
            return f"SELECT bucket, user AS d0, {_AS_REQUESTS} FROM rollup_user_hour WHERE {where} AND {self._met}"  # noqa: S608  (SQL of ours)
        names = "".join(f", {key.name} AS {name}" for name, (_, key) in zip(self.names, self._question.by, strict=True))
        return (
            f"SELECT bucket{names}, root, kind, weight, {', '.join(SUMS)}, {_PLACES}"  # noqa: S608  (SQL of ours)
            f" FROM {_USER_TABLE[level]} WHERE {where} AND {self._met}"
        )

    def _spans(self, ranges: Sequence[Range]) -> str:
        inner = any_of(ranges, column="start", parameters=self.parameters, ahead=EARLY_SECONDS)
        where = any_of(ranges, column="start", parameters=self.parameters)
        if self._level == "user":
            body = users_added_up(bucket="toStartOfHour(start)", where=where, inner=inner)
            return f"SELECT bucket, user AS d0, {_AS_REQUESTS} FROM ({body}) WHERE {self._met}"  # noqa: S608  (SQL of ours)
        by = {name: self.dimension(key) for name, (_, key) in zip(self.names, self._question.by, strict=True)}
        body = added_up(
            bucket=self._bucket(), by={**by, "root": "root", "kind": "kind"}, where=f"({where}) AND ({self._met})", inner=inner
        )
        names = "".join(f", {name}" for name in self.names)
        return f"SELECT bucket{names}, root, kind, weight, {', '.join(SUMS)}, {_PLACES} FROM ({body})"  # noqa: S608  (SQL of ours)

    def _bucket(self) -> str:
        if self._level is not None or self._question.interval in {"minute", "day"}:
            return "toStartOfMinute(start)"
        return "toStartOfHour(start)" if self._question.interval == "hour" else "toDateTime(0)"

    def dimension(self, key: Key) -> str:
        """What a span is grouped by, as text."""
        if key.scope == "column":
            column = COLUMNS[key.name]
            return f"arrayStringConcat({column.sql}, ', ')" if column.type == "list" else f"toString({column.sql})"
        if key.scope == "tag":
            starts = self._where.bind([f"{key.name}=", f"{key.name}:"], "Array(String)")
            found = f"arrayFirst(tag -> arrayExists(begins -> startsWith(tag, begins), {starts}), tags)"
            return f"substring({found}, length({starts}[1]) + 1)"
        held = "attributes" if key.scope == "attribute" else "resource"
        return f"trim(BOTH '\"' FROM {held}[{self._where.bind(key.name, 'String')}])"

    def chosen(self) -> str:
        """The condition on spans of what the question is about, with its time."""
        where = any_of([self._question.within], column="start", parameters=self.parameters)
        return f"project = {{project:String}} AND ({where}) AND ({self._met})"

    def at(self, column: str) -> str:
        """A bucket's first second, of a column with a time."""
        if self._question.interval == "day":
            return f"toUnixTimestamp(toStartOfDay({column}, {self._where.bind(self._question.zone, 'String')}))"
        starts = {"minute": "toStartOfMinute", "hour": "toStartOfHour"}
        if self._question.interval in starts:
            return f"toUnixTimestamp({starts[self._question.interval]}({column}))"
        return "toUInt32(0)"


_AS_REQUESTS: Final = (
    "1 AS root, '' AS kind, toFloat64(1) AS weight, toUInt64(round(requests)) AS spans, requests AS weighted,"
    f" failed_requests AS errors, {', '.join(TOKENS)}, cost, priced, cost_squares, toFloat64(0) AS duration,"
    " toFloat64(0) AS duration_squares, toFloat64(0) AS first_token_time, CAST([], 'Array(UInt16)') AS latency,"
    " CAST([], 'Array(UInt32)') AS latency_counts, CAST([], 'Array(UInt16)') AS first_token,"
    " CAST([], 'Array(UInt32)') AS first_token_counts"
)
_FIRST_TOKENS: Final = f"weight * arraySum({_COUNTS.format('first_token')})"


def sums(question: Question, source: Source, *, top: bool = False) -> Statement:
    """By bucket and dimensions: the sums in the order of `FIELDS`, and quantiles, see `quantiles_of`.

    With `top` only as many groups as the question shows, and one more, where the order can be told in SQL.
    """
    of = _OF[question.of]
    columns = (
        f"sumIf(spans, {of})", f"sumIf(weighted, {of})", f"sumIf(weight * weight * spans, {of})",
        f"sumIf(weight * (weight - 1) * spans, {of})", f"sumIf(errors, {of})", "sumIf(weighted, root)",
        "sumIf(weight * (weight - 1) * spans, root)", "sum(cost)", "sum(priced)",
        "sum(weight * (weight - 1) * cost_squares)", "sum(weight * weight * cost_squares)", f"sumIf(duration, {of})",
        f"sumIf(duration_squares, {of})", f"sumIf(first_token_time, {of})",
        f"sumIf({_FIRST_TOKENS}, {of})" if _asks(question, "first_token") else "0",
        *(f"sum({name})" for name in TOKENS), *_quantiles(question),
    )  # fmt: skip
    at = source.at("bucket")
    names = "".join(f", {name}" for name in source.names)
    sql = (
        f"SELECT {at} AS at{names}, {', '.join(f'{each} AS c{place}' for place, each in enumerate(columns))}"  # noqa: S608  (SQL of ours)
        f" FROM ({source.sql})"
        f" GROUP BY at{names}{_first(question) if top else ''} LIMIT {MOST_ROWS + 1}"
    )
    return Statement(sql=sql, parameters=source.parameters)


def _first(question: Question) -> str:
    """Only the first groups, where the order is that of one sum or of two: there may be a million of them."""
    names = (*FIELDS, *TOKENS)
    place = {name: f"c{at}" for at, name in enumerate(names)}
    by = {
        **place, "count": place["weighted"], "error_rate": f"{place['errors']} / {place['weighted']}",
        "cost_per_request": f"{place['cost']} / {place['requests']}",
        "tokens": f"{place['input_tokens']} + {place['output_tokens']}",
        "latency.mean": f"{place['duration']} / {place['weighted']}",
    }.get(question.order)  # fmt: skip
    if by is None or question.interval != "none":
        return ""
    return f" ORDER BY isNaN({by}), {by} {'DESC' if question.descending else 'ASC'} LIMIT {question.limit + 1} BY at"


FIELDS: Final = (
    "n", "weighted", "squares", "variance", "errors", "requests", "requests_variance", "cost", "priced", "cost_variance",
    "cost_squares", "duration", "duration_squares", "first_token_time", "first_tokens",
)  # fmt: skip


def _asks(question: Question, timed: str) -> bool:
    return any(each.name.startswith(f"{timed}.") for each in question.measures)


def quantiles_of(question: Question) -> Mapping[str, Sequence[tuple[str, float]]]:
    """What is asked of each histogram: measures by name with their levels, in the order of the columns."""
    found: dict[str, list[tuple[str, float]]] = {}
    for each in question.measures:
        if each.timed is not None and each.level is not None:
            found.setdefault(each.timed, []).append((each.name, each.level))
    return found


def _quantiles(question: Question) -> Sequence[str]:
    """Two columns a histogram: `plain` when its spans are of one weight and listed one by one, and the places then."""
    of = _OF[question.of]
    columns: list[str] = []
    for timed, asked in quantiles_of(question).items():
        there = f"notEmpty({timed}) AND {of}"
        plain = (
            f"multiIf(countIf({there}) = 0, 'nothing',"
            f" minIf(weight, {there}) = maxIf(weight, {there}) AND countIf(notEmpty({timed}_counts) AND {of}) = 0, 'plain',"
            " 'mixed')"
        )
        levels = ", ".join(repr(level) for _, level in asked)
        columns += [plain, f"quantilesExactArrayIf({levels})({timed}, {of})"]
    return columns


def histograms(question: Question, source: Source, timed: str) -> Statement:
    """By bucket and dimensions: the places and the weight at each."""
    names = "".join(f", {name}" for name in source.names)
    sql = (
        f"SELECT at{names}, groupArray(place), groupArray(w) FROM"  # noqa: S608  (SQL of ours)
        f" (SELECT at{names}, place, sum(weight * n) AS w FROM"
        f" (SELECT {source.at('bucket')} AS at{names}, weight, {timed} AS places, {_COUNTS.format(timed)} AS counts"
        f" FROM ({source.sql}) WHERE {_OF[question.of]}) ARRAY JOIN places AS place, counts AS n GROUP BY at{names}, place)"
        f" GROUP BY at{names} LIMIT {MOST_ROWS + 1}"
    )
    return Statement(sql=sql, parameters=source.parameters)


def counted(question: Question, source: Source, names: Sequence[str]) -> Statement:
    """By bucket and dimensions: how many different users, sessions or traces, in the order of `names`."""
    what = {
        "users": "uniqExactIf(user, user != '')",
        "sessions": "uniqExactIf(session, session != '')",
        "traces": "uniqExact(trace_id)",
    }
    by = "".join(f", {source.dimension(key)} AS {name}" for name, (_, key) in zip(source.names, question.by, strict=True))
    listed = "".join(f", {name}" for name in source.names)
    sql = (
        f"SELECT {source.at('start')} AS at{by}, {', '.join(what[name] for name in names)} FROM spans"  # noqa: S608  (SQL of ours)
        f" WHERE {source.chosen()} GROUP BY at{listed} LIMIT {MOST_ROWS + 1}"
    )
    return Statement(sql=sql, parameters=source.parameters)


def scored(question: Question, source: Source, names: Sequence[str]) -> Statement:
    """By bucket and dimensions: each score's name, sum, sum of squares and number, of the traces of the question's spans."""
    by = "".join(f", {source.dimension(key)} AS {name}" for name, (_, key) in zip(source.names, question.by, strict=True))
    listed = "".join(f", {name}" for name in source.names)
    bound = source.parameters
    bound["scored"] = list(names)
    sql = (
        f"SELECT at{listed}, score, sum(value), sum(value * value), count() FROM"  # noqa: S608  (SQL of ours)
        " (SELECT trace_id, name AS score, assumeNotNull(value) AS value FROM scores FINAL WHERE project = {project:String}"
        " AND name IN {scored:Array(String)} AND NOT removed AND value IS NOT NULL) AS said INNER JOIN"
        f" (SELECT trace_id, {source.at('start')} AS at{by} FROM spans WHERE {source.chosen()} AND {_OF[question.of]}"
        f" LIMIT 1 BY trace_id{listed}) AS asked USING (trace_id) GROUP BY at{listed}, score LIMIT {MOST_ROWS + 1}"
    )
    return Statement(sql=sql, parameters=bound)
