"""Traces whose first span never came: its sender died, or the span above belongs to another system. They are found by grouping.

A trace counts as one of these when a minute went by without more of it, until its first span comes after all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Expression, Where, compile_traces
from tidemill.telemetry.questions.windows import HOUR_NS, LONGEST_TRACE_NS, window_sql

QUIET_NS: Final = 60 * 10**9
_AT_ONCE: Final = 200
Found = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lone:
    """Which are asked for: those that began in [low, high), and before the place `before` (start, trace) in a list."""

    project: str
    now_ns: int
    filter: Expression
    low: int
    high: int
    before: tuple[int, str] | None = None
    among: Sequence[str] | None = None


async def lone_traces(engine: Engine, wanted: Lone, *, limit: int) -> list[Found]:
    """Ids of traces without a first span, with when the earliest span that there is began; the newest first."""
    found: list[Found] = []
    before = wanted.before
    while len(found) < limit:
        candidates = await _without_root(engine, wanted, before)
        found += await _confirmed(engine, wanted, candidates)
        if len(candidates) < _AT_ONCE:
            break
        before = (candidates[-1][1], candidates[-1][0])
    return sorted(found, key=lambda each: (each[1], each[0]), reverse=True)[:limit]


async def _without_root(engine: Engine, wanted: Lone, before: tuple[int, str] | None) -> list[Found]:
    """Traces without a first span within the window; some may have one before it."""
    where = Where()
    where.add("project = {project:String}", project=wanted.project)
    where.clauses.append(window_sql(where, wanted.low, wanted.high))
    if wanted.among is not None:
        where.add("trace_id IN {among:Array(String)}", among=list(wanted.among))
    within = window_sql(where, max(0, wanted.low - HOUR_NS), wanted.high + LONGEST_TRACE_NS)
    compile_traces(wanted.filter, where, project=wanted.project, within=within)
    quiet = where.bind(wanted.now_ns - QUIET_NS, "Int64")
    having = f"max(root) = 0 AND toUnixTimestamp64Nano(max(received)) < {quiet}"
    if before is not None:
        at, last = where.bind(before[0], "Int64"), where.bind(before[1], "String")
        having += f" AND (begun < {at} OR (begun = {at} AND trace_id < {last}))"
    rows = await engine.query(
        "SELECT toString(trace_id), toUnixTimestamp64Nano(min(start)) AS begun FROM spans"  # noqa: S608  (bound parameters)
        f" WHERE {where.sql} GROUP BY trace_id HAVING {having} ORDER BY begun DESC, trace_id DESC LIMIT {_AT_ONCE}",
        where.parameters,
    )
    return [(str(row[0]), cast("int", row[1])) for row in rows]


async def _confirmed(engine: Engine, wanted: Lone, candidates: Sequence[Found]) -> list[Found]:
    """Those of them that began within the window and have no first span anywhere near."""
    if not candidates:
        return []
    where = Where()
    where.add("project = {project:String}", project=wanted.project)
    where.clauses.append(window_sql(where, max(0, wanted.low - LONGEST_TRACE_NS), wanted.high + LONGEST_TRACE_NS))
    where.add("trace_id IN {traces:Array(String)}", traces=[trace for trace, _ in candidates])
    low, quiet = where.bind(wanted.low, "Int64"), where.bind(wanted.now_ns - QUIET_NS, "Int64")
    rows = await engine.query(
        "SELECT toString(trace_id), toUnixTimestamp64Nano(min(start)) AS begun FROM spans"  # noqa: S608  (bound parameters)
        f" WHERE {where.sql} GROUP BY trace_id"
        f" HAVING max(root) = 0 AND begun >= {low} AND toUnixTimestamp64Nano(max(received)) < {quiet}",
        where.parameters,
    )
    return [(str(row[0]), cast("int", row[1])) for row in rows]
