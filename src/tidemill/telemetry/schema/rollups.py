"""The tables of the roll-ups: numbers by minute and by hour, and which of them are still right.

A row stands for the spans of one bucket that share every dimension. It carries the number of the `build` that made it; only
the build that `rollup_builds` names for its bucket counts, so that a half-written one is never seen.

`rollup_dirty` has the minutes in which spans came or went. The last mark of a minute is a random number; a build notes the mark
that it saw, so a minute whose last mark is another is not right yet and is read from the spans instead. No clock is compared.
A view makes the marks while spans are inserted. A kill between the spans and their marks loses none: what was not
acknowledged to the spool is inserted again. An hour's mark is made of its minutes' builds, see `rollup_state.py`.
"""

from __future__ import annotations

from typing import Final

DIMENSIONS: Final = ("release", "endpoint", "model", "provider", "kind", "environment", "root")
TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)
_DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
_TEXT: Final = "LowCardinality(String)"
_SUM: Final = "Float64 CODEC(ZSTD(1))"
_SUMS: Final = ("weighted", "errors", *TOKENS, "cost", "priced")
_COUNTED: Final = "Array(UInt32) CODEC(ZSTD(1))"
_PLACES: Final = "Array(UInt16) CODEC(ZSTD(1))"


def _by_time(table: str) -> str:
    dimensions = ",\n        ".join(f"{name} {'UInt8' if name == 'root' else _TEXT}" for name in DIMENSIONS)
    sums = ",\n        ".join(f"{name} {_SUM}" for name in _SUMS)
    return f"""
    CREATE TABLE IF NOT EXISTS {table}
    (
        project {_TEXT},
        bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
        build UInt64 CODEC(Delta, ZSTD(1)),
        {dimensions},
        weight Float64 CODEC(ZSTD(1)),
        spans UInt64 CODEC(ZSTD(1)),
        {sums},
        cost_squares {_SUM},
        duration {_SUM},
        duration_squares {_SUM},
        first_token_time {_SUM},
        latency {_PLACES},
        latency_counts {_COUNTED},
        first_token {_PLACES},
        first_token_counts {_COUNTED}
    )
    ENGINE = MergeTree
    PARTITION BY toYYYYMM(bucket)
    ORDER BY (project, bucket, kind, model, build)
    {_DURABLE}
    """


_USERS: Final = f"""
    CREATE TABLE IF NOT EXISTS rollup_user_hour
    (
        project {_TEXT},
        bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
        build UInt64 CODEC(Delta, ZSTD(1)),
        user String CODEC(ZSTD(1)),
        spans UInt64 CODEC(ZSTD(1)),
        requests {_SUM},
        failed_requests {_SUM},
        {", ".join(f"{name} {_SUM}" for name in _SUMS)},
        cost_squares {_SUM}
    )
    ENGINE = MergeTree
    PARTITION BY toYYYYMM(bucket)
    ORDER BY (project, bucket, user, build)
    {_DURABLE}
    """

_DIRTY: Final = f"""
    CREATE TABLE IF NOT EXISTS rollup_dirty
    (
        project {_TEXT},
        minute DateTime('UTC'),
        mark UInt64,
        at DateTime('UTC')
    )
    ENGINE = ReplacingMergeTree
    ORDER BY (project, minute)
    {_DURABLE}
    """

EARLY_SECONDS: Final = 2
"""A call this early in its minute may be inside one that began in the minute before, which is not charged then."""
MARKED: Final = (
    f"arrayJoin(if(start < toStartOfMinute(start) + INTERVAL {EARLY_SECONDS} SECOND AND parent_id != '',"
    " [toStartOfMinute(start), toStartOfMinute(start) - INTERVAL 1 MINUTE], [toStartOfMinute(start)]))"
)
"""The minutes whose numbers a span is part of."""

_MARKS: Final = f"""
    CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks TO rollup_dirty AS
    SELECT project, {MARKED} AS minute, any(rand64()) AS mark, any(now()) AS at FROM spans GROUP BY project, minute
    """  # noqa: S608  (SQL of ours)

_BUILDS: Final = f"""
    CREATE TABLE IF NOT EXISTS rollup_builds
    (
        project {_TEXT},
        level {_TEXT},
        bucket DateTime('UTC'),
        build UInt64,
        mark UInt64
    )
    ENGINE = ReplacingMergeTree(build)
    ORDER BY (project, level, bucket)
    {_DURABLE}
    """

_FROZEN: Final = f"""
    CREATE TABLE IF NOT EXISTS rollup_frozen
    (
        project {_TEXT},
        before DateTime('UTC')
    )
    ENGINE = ReplacingMergeTree
    ORDER BY (project, before)
    {_DURABLE}
    """

# Spans that were stored before there were roll-ups.
_FIRST_MARKS: Final = (
    "INSERT INTO rollup_dirty (project, minute, mark, at)"
    " SELECT project, toStartOfMinute(start) AS minute, any(rand64()), any(now()) FROM spans GROUP BY project, minute"
)

ROLLUPS: Final = (
    _by_time("rollup_minute"), _by_time("rollup_hour"), _USERS, _DIRTY, _BUILDS, _FROZEN, _MARKS, _FIRST_MARKS,
)  # fmt: skip
"""Applied in order, once each. Never change one that was released: add another.

A later form of the table `spans` that is another table (`EXCHANGE`) must make the view `rollup_marks` anew.
"""
