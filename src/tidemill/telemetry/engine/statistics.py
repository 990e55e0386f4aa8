"""How the span store does: what is in it, what waits, what went wrong. For metrics, health and a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tidemill.telemetry.engine.protocol import Engine

_TABLES: Final = (
    "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts"
    " WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
)
_ENDS: Final = "SELECT toUnixTimestamp64Nano(min(start)), toUnixTimestamp64Nano(max(start)) FROM spans"


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What is safe on disk but not in the store yet, and what was lost; known without asking the store.

    `spool_bytes` are the bytes that wait; `lag_seconds` for how long the oldest of them has. `dropped` are spans that the disk
    refused for too long, `rejected` rows that the store could not read, both since the start. `damaged` is, by segment, the
    bytes that could not be read.
    """

    spool_bytes: int
    lag_seconds: float
    dropped: int
    rejected: int
    damaged: Mapping[str, int]
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What is in the store. Rows count twice where a span was sent twice and parts were not merged yet.

    `oldest_ns` and `newest_ns` are the first and the last start of a span, in nanoseconds since the epoch; None when empty.
    """

    spans: int
    bytes: int
    parts: int
    oldest_ns: int | None
    newest_ns: int | None
    tables: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])


async def read_stored(engine: Engine) -> Stored:
    """Ask the store. Raises `Unavailable`."""
    rows = await engine.query(_TABLES, {})
    tables = {str(row[0]): (int(str(row[1])), int(str(row[2]))) for row in rows}
    spans, size = tables.get("spans", (0, 0))
    ends = (await engine.query(_ENDS, {}))[0] if spans else (None, None)
    return Stored(
        spans=spans,
        bytes=size,
        parts=sum(int(str(row[3])) for row in rows if row[0] == "spans"),
        oldest_ns=None if ends[0] is None else int(str(ends[0])),
        newest_ns=None if ends[1] is None else int(str(ends[1])),
        tables=tables,
    )
