"""Traces by the conversation that they belong to, and by whom they were done for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, cast

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.charged import BILLED, repeating
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Where, compile_traces
from tidemill.telemetry.questions.listing import Listing
from tidemill.telemetry.questions.scores import scores_of
from tidemill.telemetry.questions.spans import LARGEST_PAGE, light_spans
from tidemill.telemetry.questions.trace import group_by_trace, summary_shape
from tidemill.telemetry.questions.windows import HOUR_NS, LONGEST_TRACE_NS, window_sql, windows

Grouping: TypeAlias = Literal["session", "user"]
_OWN: Final = f"{BILLED} AND (trace_id, toString(span_id)) NOT IN ({repeating('spans FINAL WHERE {where}')})"
_CURSOR: Final = re.compile(r"([0-9]{1,19})~(.{1,4000})", re.DOTALL)
_TURN: Final = re.compile(r"([0-9]{1,19})\.([0-9a-f]{32})")


def _sum(what: str) -> str:
    return f"if(countIf({BILLED}) > 0, sumIf({what}, {_OWN}), maxIf({what}, root))"


_OF_TRACES: Final = f"""
    SELECT {{by}} AS id, count(), min(begun), max(begun), sum(failed), sum(read), sum(written), sum(paid), max(priced),
        arraySort(arrayDistinct(groupArrayIf(50)(other, other != ''))), argMax(name, begun)
    FROM (
        SELECT trace_id, anyIf({{by}}, {{by}} != '') AS {{by}}, anyIf({{other}}, {{other}} != '') AS other,
            minIf(start, root) AS begun, maxIf(status = 'error', root) AS failed, {_sum("input_tokens")} AS read,
            {_sum("output_tokens")} AS written, {_sum("ifNull(cost, 0)")} AS paid, max(cost IS NOT NULL) AS priced,
            anyIf(name, root) AS name
        FROM spans FINAL WHERE {{where}} GROUP BY trace_id HAVING max(root)
    )
    WHERE {{by}} IN {{wanted}} GROUP BY id"""  # noqa: S608  (names of ours)


async def list_groups(engine: Engine, by: Grouping, listing: Listing) -> JsonObject:
    """Sessions or users, the last seen first: `{"items", "next"}`; what they come to between the listing's bounds."""
    if not 1 <= listing.limit <= LARGEST_PAGE:
        raise Invalid(f"limit {listing.limit} is not between 1 and {LARGEST_PAGE}")
    found = await _last_seen(engine, by, listing)
    shown = found[: listing.limit]
    totals = await _totals(engine, by, listing, [name for name, _ in shown])
    following = f"{shown[-1][1]}~{shown[-1][0]}" if len(found) > listing.limit else None
    return {"items": [totals[name] for name, _ in shown if name in totals], "next": following}


async def _last_seen(engine: Engine, by: Grouping, listing: Listing) -> Sequence[tuple[str, int]]:
    """One more than a page of them, with when each last began a trace."""
    before = _parse_cursor(listing.cursor) if listing.cursor else None
    found: dict[str, int] = {}
    high = listing.high if before is None else min(listing.high, before[0] + 1)
    for low, top in windows(from_ns=listing.low, to_ns=high, now_ns=listing.now_ns):
        where = _roots(by, listing, low, top)
        seen = window_sql(where, top, max(listing.high, top))
        # Who was seen later stands on an earlier page, or was found in a later window.
        where.add(
            f"{by} NOT IN (SELECT {by} FROM spans WHERE project = {{project:String}} AND root AND {seen})",  # noqa: S608  (bound parameters)
            project=listing.project,
        )
        having = "1"
        if before is not None:
            at, last = where.bind(before[0], "Int64"), where.bind(before[1], "String")
            having = f"seen < {at} OR (seen = {at} AND {by} < {last})"
        rows = await engine.query(
            f"SELECT {by}, toUnixTimestamp64Nano(max(start)) AS seen FROM spans WHERE {where.sql} GROUP BY {by}"  # noqa: S608  (bound parameters)
            f" HAVING {having} ORDER BY seen DESC, {by} DESC LIMIT {listing.limit + 1 - len(found):d}",
            where.parameters,
        )
        found.update((str(row[0]), cast("int", row[1])) for row in rows)
        if len(found) > listing.limit:
            break
    return list(found.items())


def _roots(by: Grouping, listing: Listing, low: int, high: int) -> Where:
    where = Where()
    where.add("project = {project:String}", project=listing.project)
    where.add(f"root AND {by} != ''")
    where.clauses.append(window_sql(where, low, high))
    within = window_sql(where, max(0, low - HOUR_NS), high + LONGEST_TRACE_NS)
    compile_traces(listing.filter, where, project=listing.project, within=within)
    return where


async def _totals(engine: Engine, by: Grouping, listing: Listing, names: Sequence[str]) -> dict[str, JsonObject]:
    if not names:
        return {}
    where = _roots(by, listing, listing.low, listing.high)
    wanted = where.bind(list(names), "Array(String)")
    where.add(f"{by} IN {wanted}")
    low, high = max(0, listing.low - HOUR_NS), listing.high + LONGEST_TRACE_NS
    spans = (
        f"project = {where.bind(listing.project, 'String')} AND {window_sql(where, low, high)}"  # noqa: S608  (bound parameters)
        f" AND trace_id IN (SELECT trace_id FROM spans WHERE {where.sql})"
    )
    other = "user" if by == "session" else "session"
    rows = await engine.query(_OF_TRACES.format(by=by, other=other, where=spans, wanted=wanted), where.parameters)
    return {str(row[0]): _shape(by, row) for row in rows}


def _shape(by: Grouping, row: Sequence[object]) -> JsonObject:
    return {
        "id": str(row[0]),
        "traces": cast("int", row[1]),
        "first": _time(row[2]),
        "last": _time(row[3]),
        "errors": cast("int", row[4]),
        "usage": {"input_tokens": cast("int", row[5]), "output_tokens": cast("int", row[6])},
        "cost": cast("float", row[7]) if row[8] else None,
        "users" if by == "session" else "sessions": cast("list[Json]", row[9]),
        "name": str(row[10]),
    }


def _time(value: object) -> str:
    return f"{str(value).replace(' ', 'T')[:26]}Z"


async def get_session(engine: Engine, project: str, session: str, *, limit: int, cursor: str | None) -> JsonObject:
    """A session's totals, and its traces in the order in which they began. Raises `NotFound` or `Invalid`."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(f"limit {limit} is not between 1 and {LARGEST_PAGE}")
    where = Where()
    where.add("project = {project:String} AND root AND session = {session:String}", project=project, session=session)
    first = await engine.query(
        f"SELECT toUnixTimestamp64Nano(min(start)), toUnixTimestamp64Nano(max(start)), count() FROM spans WHERE {where.sql}",  # noqa: S608  (bound parameters)
        where.parameters,
    )
    if not first[0][2]:
        raise NotFound(f"no session {session[:80]} in project {project}", hint="Type: tidemill traces sessions")
    low, high = cast("int", first[0][0]), cast("int", first[0][1]) + 1
    if cursor is not None:
        match = _TURN.fullmatch(cursor)
        if match is None:
            raise Invalid(f"{cursor[:80]!r} is not a cursor", hint="Pass on what `next` said, unchanged.")
        at, last = where.bind(int(match[1]), "Int64"), where.bind(match[2], "String")
        where.clauses.append(
            f"toUnixTimestamp64Nano(start) > {at} OR (toUnixTimestamp64Nano(start) = {at} AND trace_id > {last})"
        )
    rows = await engine.query(
        f"SELECT toString(trace_id), toUnixTimestamp64Nano(start) FROM spans WHERE {where.sql}"  # noqa: S608  (bound parameters)
        f" ORDER BY start, trace_id LIMIT 1 BY trace_id LIMIT {limit + 1:d}",
        where.parameters,
    )
    shown = [(str(row[0]), cast("int", row[1])) for row in rows[:limit]]
    listing = Listing(project=project, now_ns=high, from_ns=low, to_ns=high)
    totals = (await _totals(engine, "session", listing, [session]))[session]
    return {
        **totals,
        "items": await _turns(engine, project, shown),
        "next": f"{shown[-1][1]}.{shown[-1][0]}" if len(rows) > limit else None,
    }


async def _turns(engine: Engine, project: str, shown: Sequence[tuple[str, int]]) -> list[Json]:
    if not shown:
        return []
    ids = [trace for trace, _ in shown]
    groups = group_by_trace(
        await light_spans(engine, project, ids, low=shown[0][1] - HOUR_NS, high=shown[-1][1] + LONGEST_TRACE_NS)
    )
    scores = await scores_of(engine, project, ids)
    return [{**summary_shape(groups[each]), "scores": list(scores.get(each, ()))} for each in ids if each in groups]


def _parse_cursor(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Invalid(f"{cursor[:80]!r} is not a cursor", hint="Pass on what `next` said, unchanged.")
    return int(match[1]), match[2]
