"""The tables of the span store, and how to find words in a span.

Only what chDB, chdb-core-lite and a ClickHouse server all have is used. A span is keyed by project, trace and span, so that one
that was sent twice, in whatever batch, is kept once; until parts are merged both rows are there, so a query says
`LIMIT 1 BY trace_id, span_id` where that matters.
"""

from __future__ import annotations

from typing import Final

# One word index over everything a person reads in a span. JSON's escapes of white space would stick to the next word.
# chdb-core-lite has no lowerUTF8, so words beyond ASCII are looked for otherwise.
SEARCHED: Final = "lower(replaceRegexpAll(concat(name, ' ', error, ' ', input, ' ', output), '\\\\\\\\[nrt]', ' '))"

MIGRATIONS: Final = (
    f"""
    CREATE TABLE IF NOT EXISTS spans
    (
        project LowCardinality(String),
        trace_id FixedString(32),
        span_id FixedString(16),
        parent_id String,
        root UInt8,
        name LowCardinality(String),
        kind LowCardinality(String),
        start DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        duration_ns UInt64 CODEC(ZSTD(1)),
        status LowCardinality(String),
        error String CODEC(ZSTD(3)),
        input String CODEC(ZSTD(3)),
        output String CODEC(ZSTD(3)),
        model LowCardinality(String),
        input_tokens UInt64 CODEC(ZSTD(1)),
        output_tokens UInt64 CODEC(ZSTD(1)),
        cached_tokens UInt64 CODEC(ZSTD(1)),
        cost Nullable(Float64),
        release LowCardinality(String),
        endpoint LowCardinality(String),
        step LowCardinality(String),
        user String CODEC(ZSTD(1)),
        session String CODEC(ZSTD(1)),
        tags Array(LowCardinality(String)),
        attributes String CODEC(ZSTD(3)),
        INDEX start_range start TYPE minmax,
        INDEX words {SEARCHED} TYPE text(tokenizer = 'splitByNonAlpha')
    )
    ENGINE = ReplacingMergeTree
    PARTITION BY toYYYYMM(start)
    ORDER BY (project, trace_id, span_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
)
"""Applied in order, once each. Never change one that was released: add another."""

TRACKING: Final = "CREATE TABLE IF NOT EXISTS migrations (number UInt32) ENGINE = MergeTree ORDER BY number"
