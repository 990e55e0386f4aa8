"""Windows of time, from the newest back, each wider than the one before: so that the newest are found without reading all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidemill.telemetry.expression import Where

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
LONGEST_TRACE_NS: Final = 2 * DAY_NS
"""How long after its first span a trace's last may begin, and still be looked at where many traces are listed."""
_WIDER: Final = 8
_LAST: Final = 24 * 365 * HOUR_NS
FIRST_NS: Final = 0


def windows(*, from_ns: int | None, to_ns: int, now_ns: int, wider: int = _WIDER) -> Iterator[tuple[int, int]]:
    """(from, to) in nanoseconds, the newest first, without gaps; the last begins at `from_ns`, or at the epoch.

    Each is `wider` times as wide as the one before.
    """
    least = FIRST_NS if from_ns is None else max(from_ns, FIRST_NS)
    high, width = to_ns, HOUR_NS
    start = min(to_ns, now_ns)
    while high > least:
        low = (start - width) // HOUR_NS * HOUR_NS
        if width > _LAST or low < least:
            low = least
        yield low, high
        high = start = low
        width *= wider


def window_sql(where: Where, low: int, high: int) -> str:
    """The condition that a span began in [low, high), so that the table's order is used."""
    begin = f"fromUnixTimestamp64Nano({where.bind(low, 'Int64')}, 'UTC')"
    end = f"fromUnixTimestamp64Nano({where.bind(high, 'Int64')}, 'UTC')"
    return (
        f"start >= {begin} AND start < {end}"
        f" AND toStartOfHour(start) >= toStartOfHour({begin}) AND toStartOfHour(start) <= toStartOfHour({end})"
    )
