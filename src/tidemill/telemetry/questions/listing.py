"""Lists of traces: the newest, by windows of time from now back, and the slowest, dearest and largest."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.charged import BILLED, repeating
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import EVERYTHING, And, Condition, Expression, Key, Where, bounds_of, compile_traces, parse
from tidemill.telemetry.questions.lone import Lone, lone_traces
from tidemill.telemetry.questions.scores import scores_of
from tidemill.telemetry.questions.spans import LARGEST_PAGE, light_spans
from tidemill.telemetry.questions.trace import group_by_trace, summary_shape
from tidemill.telemetry.questions.windows import DAY_NS, HOUR_NS, LONGEST_TRACE_NS, newest_before, window_sql, windows

Order: TypeAlias = Literal["-start", "-latency", "-cost", "-tokens"]
_SUMMED: Final = "if(countIf({billed}) > 0, sumIf({what}, {{own}}), maxIf({what}, root))"
_RANKED: Final[dict[Order, str]] = {
    "-latency": "toFloat64(max(duration_ns))",
    "-cost": _SUMMED.format(billed=BILLED, what="ifNull(cost, 0)"),
    "-tokens": _SUMMED.format(billed=BILLED, what="toFloat64(input_tokens + output_tokens)"),
}
_PART_OF_DAY_NS: Final = 8 * HOUR_NS
_CURSOR: Final = re.compile(r"(-?[0-9]{1,19})\.([0-9a-f]{32})")
_RANKED_CURSOR: Final = re.compile(r"(-[a-z]+)~(-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)~([0-9a-f]{32})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Which traces, in which order. `to_ns` left out means one day from `now_ns`; `among` are traces by their whole ids.

    Traces are found by their first span (see `SpanRecord`), and by their earliest where the first never came (`lone.py`),
    but not by latency. `served` leaves out evaluations.
    """

    project: str
    now_ns: int
    filter: Expression = EVERYTHING
    limit: int = 50
    cursor: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    among: Sequence[str] | None = None
    served: bool = False
    order: Order = "-start"

    @property
    def high(self) -> int:
        """When they all began before."""
        said = bounds_of(self.filter)[1]
        given = self.now_ns + DAY_NS if self.to_ns is None else self.to_ns
        return given if said is None else min(given, said)

    @property
    def low(self) -> int:
        """When none began before: a span that began later than this is at most two days below its trace's first."""
        said = bounds_of(self.filter)[0]
        bounds = [each for each in (self.from_ns, None if said is None else said - LONGEST_TRACE_NS) if each is not None]
        return max(0, *bounds) if bounds else 0


def read_filter(filter: str | Expression | None, q: str | None, *, now_ns: int) -> Expression:  # noqa: A002  (the API's name)
    """The expression of a filter and of words to find in any span. Raises `Invalid`."""
    found = parse(filter, now_ns=now_ns) if isinstance(filter, str) else filter or And(())
    if not q or not q.strip():
        return found
    words = Condition(Key("column", "text", "text"), "~", (q,))
    return words if found == And(()) else And((found, words))


def order_of(text: str) -> Order:
    """The order as it is asked for. Raises `Invalid`."""
    known: dict[str, Order] = {
        "-start": "-start", "-latency": "-latency", "-duration": "-latency", "-cost": "-cost", "-tokens": "-tokens",
    }  # fmt: skip
    if text not in known:
        raise Invalid(f"{text[:40]!r} is no order of traces", where="order", hint=did_you_mean(text, known))
    return known[text]


async def list_traces(engine: Engine, listing: Listing) -> JsonObject:
    """`{"items": […], "next": cursor or None}`. Raises `Invalid` for a wrong limit or cursor."""
    if not 1 <= listing.limit <= LARGEST_PAGE:
        raise Invalid(f"limit {listing.limit} is not between 1 and {LARGEST_PAGE}")
    found, following = await (_newest(engine, listing) if listing.order == "-start" else _ranked(engine, listing))
    return {"items": await _summaries(engine, listing.project, found), "next": following}


async def _summaries(engine: Engine, project: str, found: Sequence[tuple[str, int]]) -> list[Json]:
    if not found:
        return []
    ids = [trace for trace, _ in found]
    low, high = min(at for _, at in found) - HOUR_NS, max(at for _, at in found) + LONGEST_TRACE_NS
    groups = group_by_trace(await light_spans(engine, project, ids, low=low, high=high))
    scores = await scores_of(engine, project, ids)
    return [{**summary_shape(groups[each]), "scores": list(scores.get(each, ()))} for each in ids if each in groups]


async def newest_ids(engine: Engine, listing: Listing) -> tuple[Sequence[tuple[str, int]], str | None]:
    """The ids of a page of traces with when each began, and the cursor of the next page."""
    return await _newest(engine, listing)


async def _newest(engine: Engine, listing: Listing) -> tuple[Sequence[tuple[str, int]], str | None]:
    high, before = listing.high, None
    if listing.cursor is not None:
        before = _parse_cursor(listing.cursor)
        high = min(high, before[0] + 1)
    found: dict[str, int] = {}
    async for low, top in _reach(engine, listing, high, found):
        size = listing.limit + 1 - len(found)
        rows = await _page(engine, listing, low, top, before, size)
        oldest = rows[-1][1] if len(rows) == size else low  # what began before a full page is not on it
        rows = [*rows, *await _lone(engine, listing, oldest, top, before, size)]
        for trace, at in sorted(rows, key=lambda each: (each[1], each[0]), reverse=True):
            found.setdefault(trace, at)
        if len(found) > listing.limit:
            break
    shown = list(found.items())[: listing.limit]
    return shown, f"{shown[-1][1]}.{shown[-1][0]}" if len(found) > listing.limit else None


async def _reach(engine: Engine, listing: Listing, high: int, found: Collection[object]) -> AsyncIterator[tuple[int, int]]:
    """Windows from `high` back. When the first had nothing, the next begins where there are spans again."""
    if listing.among is not None:
        yield listing.low, high
        return
    reach = windows(from_ns=listing.low, to_ns=high, now_ns=listing.now_ns)
    first = next(reach, None)
    if first is None:
        return
    yield first
    if not found and first[0] > listing.low:
        there = await newest_before(engine, listing.project, first[0])
        if there is None:
            return
        reach = windows(from_ns=listing.low, to_ns=first[0], now_ns=there, first=_PART_OF_DAY_NS)
    for window in reach:
        yield window


async def _page(
    engine: Engine, listing: Listing, low: int, high: int, before: tuple[int, str] | None, size: int
) -> Sequence[tuple[str, int]]:
    where = _roots(listing, low, high)
    if before is not None:
        where.add(
            "start < fromUnixTimestamp64Nano({at:Int64}, 'UTC')"
            " OR (toUnixTimestamp64Nano(start) = {same:Int64} AND trace_id < {last:String})",
            at=before[0], same=before[0], last=before[1],
        )  # fmt: skip
    rows = await engine.query(
        f"SELECT toString(trace_id), toUnixTimestamp64Nano(start) FROM spans WHERE {where.sql}"  # noqa: S608  (bound parameters)
        f" ORDER BY toStartOfHour(start) DESC, start DESC, trace_id DESC LIMIT 1 BY trace_id LIMIT {size:d}",
        where.parameters,
    )
    return [(str(row[0]), cast("int", row[1])) for row in rows]


async def _lone(
    engine: Engine, listing: Listing, low: int, high: int, before: tuple[int, str] | None, size: int
) -> Sequence[tuple[str, int]]:
    wanted = Lone(
        project=listing.project, now_ns=listing.now_ns, filter=listing.filter, low=low, high=high, before=before,
        among=listing.among,
    )  # fmt: skip
    return await lone_traces(engine, wanted, limit=size)


def _roots(listing: Listing, low: int, high: int) -> Where:
    """The first spans that are asked for and began in [low, high)."""
    where = Where()
    where.add("project = {project:String}", project=listing.project)
    where.add("root")
    where.clauses.append(window_sql(where, low, high))
    if listing.among is not None:
        where.add("trace_id IN {among:Array(String)}", among=list(listing.among))
    if listing.served:
        where.add("evaluation = ''")
    within = window_sql(where, max(0, low - HOUR_NS), high + LONGEST_TRACE_NS)
    if listing.among is not None:
        within += f" AND trace_id IN {where.bind(list(listing.among), 'Array(String)')}"
    compile_traces(listing.filter, where, project=listing.project, within=within)
    return where


async def _ranked(engine: Engine, listing: Listing) -> tuple[Sequence[tuple[str, int]], str | None]:
    """By what a trace's calls of models come to, as far as they do not repeat each other; by its first span's duration."""
    low = listing.low
    where = _roots(listing, low, listing.high)
    if listing.order == "-latency":
        source = f"spans WHERE {where.sql}"
    else:
        within = window_sql(where, max(0, low - HOUR_NS), listing.high + LONGEST_TRACE_NS)
        project = where.bind(listing.project, "String")
        among = f"trace_id IN (SELECT trace_id FROM spans WHERE {where.sql})"  # noqa: S608  (bound parameters)
        if lone := await _lone(engine, listing, low, listing.high, None, LARGEST_PAGE):
            among = f"({among} OR trace_id IN {where.bind([trace for trace, _ in lone], 'Array(String)')})"
        source = f"spans FINAL WHERE project = {project} AND {within} AND {among}"
    rank, having = (
        _RANKED[listing.order].format(own=f"{BILLED} AND (trace_id, toString(span_id)) NOT IN ({repeating(source)})"),
        "1",
    )
    if listing.cursor is not None:
        match = _RANKED_CURSOR.fullmatch(listing.cursor)
        if match is None or match[1] != listing.order:
            raise _no_cursor(listing.cursor)
        value, last = where.bind(float(match[2]), "Float64"), where.bind(match[3], "String")
        having = f"rank < {value} OR (rank = {value} AND trace_id < {last})"
    rows = await engine.query(
        f"SELECT toString(trace_id), toUnixTimestamp64Nano(min(start)), {rank} AS rank FROM {source}"  # noqa: S608  (bound parameters)
        f" GROUP BY trace_id HAVING {having} ORDER BY rank DESC, trace_id DESC LIMIT {listing.limit + 1:d}",
        where.parameters,
    )
    shown = rows[: listing.limit]
    following = f"{listing.order}~{shown[-1][2]}~{shown[-1][0]}" if len(rows) > listing.limit else None
    return [(str(row[0]), cast("int", row[1])) for row in shown], following


def _parse_cursor(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise _no_cursor(cursor)
    return int(match[1]), match[2]


def _no_cursor(cursor: str) -> Invalid:
    return Invalid(f"{cursor[:80]!r} is not a cursor", hint="Pass on what `next` said, unchanged.")
