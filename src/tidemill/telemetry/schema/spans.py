"""The tables of the span store, and how to find words and attributes in a span.

Only what chDB, chdb-core-lite and a ClickHouse server all have is used. A span is keyed by project, trace and span within the
hour of its start, so that one that was sent twice, in whatever batch, is kept once (the last that came); until parts are merged
both rows are there, so a query says `LIMIT 1 BY trace_id, span_id` where that matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.telemetry.engine.migrate import Step
from tidemill.telemetry.schema.erased import PRIVACY
from tidemill.telemetry.schema.metric_points import METRIC_POINTS
from tidemill.telemetry.schema.rollups import ROLLUPS
from tidemill.telemetry.schema.scores import SCORES, VECTORS

# One word index over everything a person reads in a span. JSON's escapes of white space would stick to the next word.
# chdb-core-lite has no lowerUTF8, so words beyond ASCII are looked for otherwise.
SEARCHED: Final = "lower(replaceRegexpAll(concat(name, ' ', error, ' ', input, ' ', output), '\\\\\\\\[nrt]', ' '))"

_PAIRS: Final = "Map(LowCardinality(String), String)"

_FIRST: Final = f"""
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
    """

# Columns for what is filtered and grouped on; the rest are maps whose values are JSON. `received` decides which of two rows of
# one span stays. A payload too large for a row lies elsewhere: `input_at` and `output_at` say where; the row has its beginning.
_WIDE: Final = f"""
    CREATE TABLE IF NOT EXISTS spans_wide
    (
        project LowCardinality(String),
        trace_id FixedString(32),
        span_id FixedString(16),
        parent_id String,
        root UInt8,
        name LowCardinality(String),
        kind LowCardinality(String),
        start DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        received DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        duration_ns UInt64 CODEC(ZSTD(1)),
        first_token_ns UInt64 CODEC(ZSTD(1)),
        status LowCardinality(String),
        error String CODEC(ZSTD(1)),
        input String CODEC(ZSTD(1)),
        output String CODEC(ZSTD(1)),
        input_at String CODEC(ZSTD(1)),
        output_at String CODEC(ZSTD(1)),
        provider LowCardinality(String),
        model LowCardinality(String),
        finish_reasons Array(LowCardinality(String)),
        input_tokens UInt64 CODEC(ZSTD(1)),
        output_tokens UInt64 CODEC(ZSTD(1)),
        cached_tokens UInt64 CODEC(ZSTD(1)),
        cache_write_tokens UInt64 CODEC(ZSTD(1)),
        reasoning_tokens UInt64 CODEC(ZSTD(1)),
        audio_input_tokens UInt64 CODEC(ZSTD(1)),
        audio_output_tokens UInt64 CODEC(ZSTD(1)),
        cost Nullable(Float64),
        release LowCardinality(String),
        endpoint LowCardinality(String),
        step LowCardinality(String),
        variant LowCardinality(String),
        rollout LowCardinality(String),
        environment LowCardinality(String),
        evaluation LowCardinality(String),
        user String CODEC(ZSTD(1)),
        session String CODEC(ZSTD(1)),
        tags Array(LowCardinality(String)),
        service LowCardinality(String),
        scope LowCardinality(String),
        dialect LowCardinality(String),
        weight Float64 CODEC(ZSTD(1)),
        attributes {_PAIRS} CODEC(ZSTD(1)),
        resource {_PAIRS} CODEC(ZSTD(1)),
        events String CODEC(ZSTD(1)),
        links String CODEC(ZSTD(1)),
        INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
        INDEX start_range start TYPE minmax,
        INDEX words {SEARCHED} TYPE text(tokenizer = 'splitByNonAlpha')
    )
    ENGINE = ReplacingMergeTree(received)
    PARTITION BY toYYYYMM(start)
    ORDER BY (project, toStartOfHour(start), trace_id, span_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024
    """

# What the first form of the table had, column by column; some of it lay in the attributes, which were one JSON text.
_KEPT: Final = (
    "project, trace_id, span_id, parent_id, root, name, kind, start, duration_ns, status, error, input, output, model,"
    " input_tokens, output_tokens, cached_tokens, cost, release, endpoint, step, user, session, tags"
)
_KEYS: Final = "arrayMap(place -> JSONKey(attributes, place), range(1, toUInt32(JSONLength(attributes)) + 1))"
_MOVED: Final = {
    "received": "start",
    "weight": "1",
    "attributes": f"CAST(mapFromArrays({_KEYS}, arrayMap(key -> JSONExtractRaw(attributes, key), {_KEYS})), '{_PAIRS}')",
    "first_token_ns": "toUInt64(JSONExtractFloat(attributes, 'tidemill.first_token_ms') * 1e6)",
    **{
        name: f"JSONExtractString(attributes, 'tidemill.{name}')"
        for name in ("variant", "rollout", "environment", "evaluation")
    },
}
_FILL: Final = f"INSERT INTO spans_wide ({_KEPT}, {', '.join(_MOVED)}) SELECT {_KEPT}, {', '.join(_MOVED.values())} FROM spans"  # noqa: S608  (names of ours)

# The first form is told by a column that it lacks. EXCHANGE swaps back when it is run again, so it asks first.
_IS_NARROW: Final = (
    "SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'spans' AND name = 'received'"
)

_SPANS: Final[tuple[str | Step, ...]] = (
    _FIRST,
    Step("DROP TABLE IF EXISTS spans_wide", when=_IS_NARROW),
    Step(_WIDE, when=_IS_NARROW),
    Step("TRUNCATE TABLE spans_wide", _FILL, when=_IS_NARROW),
    Step("EXCHANGE TABLES spans AND spans_wide", when=_IS_NARROW),
    "DROP TABLE IF EXISTS spans_wide",
)

MIGRATIONS: Final[Mapping[str, tuple[str | Step, ...]]] = {
    "spans": _SPANS,
    "rollups": ROLLUPS,
    "metric_points": METRIC_POINTS,
    "scores": SCORES,
    "vectors": VECTORS,
    "privacy": PRIVACY,
}
"""By part, in order: each part's steps are applied in order, once each. Never change a step that was released: add another.

A part's number of steps done is noted after each, so a step may be run again when the process was killed before the note:
write `IF NOT EXISTS`, `IF EXISTS`, or a `Step` whose `when` tells whether it is still to be done. A part is a tuple
in a module of its own, named here as in `"scores": SCORES`; parts are applied in the order of this mapping.
"""

TRACKING: Final = (
    "CREATE TABLE IF NOT EXISTS migrations (number UInt32) ENGINE = MergeTree ORDER BY number",
    "ALTER TABLE migrations ADD COLUMN IF NOT EXISTS part LowCardinality(String) DEFAULT 'spans'",
)


def attribute_text(name: str) -> str:
    """The SQL of an attribute as text, empty when it is missing; `name` is a constant of `genai.py`."""
    return f"trim(BOTH '\"' FROM attributes['{name}'])"
