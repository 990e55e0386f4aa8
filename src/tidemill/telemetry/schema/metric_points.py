"""The table of metrics' points. One point of one series at one time is one row, however often it is sent."""

from __future__ import annotations

from typing import Final

TABLE: Final = "metric_points"
_PAIRS: Final = "Map(LowCardinality(String), String)"

METRIC_POINTS: Final = (
    f"""
    CREATE TABLE IF NOT EXISTS {TABLE}
    (
        project LowCardinality(String),
        name LowCardinality(String),
        time DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        start DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        series UInt64,
        received DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        kind LowCardinality(String),
        unit LowCardinality(String),
        temporality LowCardinality(String),
        value Float64,
        count UInt64 CODEC(ZSTD(1)),
        min Nullable(Float64),
        max Nullable(Float64),
        bounds Array(Float64) CODEC(ZSTD(1)),
        buckets Array(UInt64) CODEC(ZSTD(1)),
        service LowCardinality(String),
        scope LowCardinality(String),
        attributes {_PAIRS} CODEC(ZSTD(3)),
        resource {_PAIRS} CODEC(ZSTD(3))
    )
    ENGINE = ReplacingMergeTree(received)
    PARTITION BY toYYYYMM(time)
    ORDER BY (project, name, time, series)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
)
