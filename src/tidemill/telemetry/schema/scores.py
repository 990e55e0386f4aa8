"""The table of what was scored and said of a trace, apart from its spans, so that it can come late and be taken back."""

from __future__ import annotations

from typing import Final

_DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"

# One row is what one author said under one name; `version` decides which of two such rows stays, `removed` takes it back.
SCORES: Final[tuple[str, ...]] = (
    f"""
    CREATE TABLE IF NOT EXISTS scores
    (
        project LowCardinality(String),
        trace_id FixedString(32),
        span_id String,
        name LowCardinality(String),
        source LowCardinality(String),
        author String CODEC(ZSTD(1)),
        value Nullable(Float64),
        text String CODEC(ZSTD(3)),
        at DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        version UInt64 CODEC(ZSTD(1)),
        removed UInt8
    )
    ENGINE = ReplacingMergeTree(version)
    ORDER BY (project, trace_id, span_id, name, source, author)
    {_DURABLE}
    """,
)

# A text's vector, by the digest of the text and what embedded it: texts that come again are embedded once.
VECTORS: Final[tuple[str, ...]] = (
    f"""
    CREATE TABLE IF NOT EXISTS vectors
    (
        project LowCardinality(String),
        embedder LowCardinality(String),
        digest FixedString(32),
        vector Array(Float32) CODEC(ZSTD(1)),
        at DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1))
    )
    ENGINE = ReplacingMergeTree
    ORDER BY (project, embedder, digest)
    {_DURABLE}
    """,
)
