"""Windows of time, from the newest back, each wider than the one before: so that the newest are found without reading all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Where

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
LONGEST_TRACE_NS: Final = 2 * DAY_NS
"""How long after its first span a trace's last may begin, and still be looked at where many traces are listed."""
_WIDER: Final = 8
_AT_ONCE_NS: Final = 2 * DAY_NS
_LAST: Final = 24 * 365 * HOUR_NS
FIRST_NS: Final = 0


def windows(
    *, from_ns: int | None, to_ns: int, now_ns: int, first: int = HOUR_NS, wider: int = _WIDER
) -> Iterator[tuple[int, int]]:
    """(from, to) in nanoseconds, the newest first, without gaps; the last begins at `from_ns`, or at the epoch.

    The first reaches `first` nanoseconds back from now, each other is `wider` times as wide as the one before. Two days or
    less are one window.
    """
    least = FIRST_NS if from_ns is None else max(from_ns, FIRST_NS)
    start = min(to_ns, now_ns)
    high, width = to_ns, max(first, start - least if start - least <= _AT_ONCE_NS else 0)
    while high > least:
        low = (start - width) // HOUR_NS * HOUR_NS
        if width > _LAST or low < least:
            low = least
        yield low, high
        high = start = low
        width *= wider


async def newest_before(engine: Engine, project: str, high: int) -> int | None:
    """The end of the last hour in which a span began before `high`; None when none did.

    The table is read from its end: a condition on the hour, as `window_sql` has it, would have more of it read.
    """
    rows = await engine.query(
        "SELECT toUnixTimestamp(start) FROM spans WHERE project = {project:String}"
        " AND start < fromUnixTimestamp64Nano({high:Int64}, 'UTC') ORDER BY toStartOfHour(start) DESC LIMIT 1",
        {"project": project, "high": high},
    )
    return min((cast("int", rows[0][0]) // 3600 + 1) * HOUR_NS, high) if rows else None


def window_sql(where: Where, low: int, high: int) -> str:
    """The condition that a span began in [low, high), so that the table's order is used."""
    begin = f"fromUnixTimestamp64Nano({where.bind(low, 'Int64')}, 'UTC')"
    end = f"fromUnixTimestamp64Nano({where.bind(high, 'Int64')}, 'UTC')"
    return (
        f"start >= {begin} AND start < {end}"
        f" AND toStartOfHour(start) >= toStartOfHour({begin}) AND toStartOfHour(start) <= toStartOfHour({end})"
    )
