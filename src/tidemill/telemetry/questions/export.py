"""Whole traces written out: JSON lines (a trace a line), Parquet (a span a row), OTLP in JSON lines (a trace a line)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias, cast

import anyio.to_thread

from tidemill.core.json import dump_json
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.questions.listing import Listing, newest_ids
from tidemill.telemetry.questions.otlp_json import otlp_line
from tidemill.telemetry.questions.parquet import parquet
from tidemill.telemetry.questions.scores import scores_of
from tidemill.telemetry.questions.spans import whole_spans
from tidemill.telemetry.questions.trace import StoredSpan, group_by_trace, trace_shape

Form: TypeAlias = Literal["jsonl", "parquet", "otlp"]
MEDIA: Final[Mapping[Form, str]] = {
    "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet", "otlp": "application/x-ndjson",
}  # fmt: skip
_PAGE: Final = 100
_SPANS: Final = 2000
"""So many spans are in memory at a time, or one trace where it has more."""


async def export_traces(engine: Engine, listing: Listing, form: Form) -> AsyncIterator[bytes]:
    """The traces of a listing, newest first, in pieces."""
    if form == "parquet":
        async for piece in parquet(_batches(engine, listing)):
            yield piece
        return
    async for batch in _batches(engine, listing):
        scores = await scores_of(engine, listing.project, list(batch) if form == "jsonl" else [])
        for trace, spans in batch.items():
            if form == "otlp":
                yield await anyio.to_thread.run_sync(otlp_line, spans) + b"\n"
            else:
                yield dump_json(trace_shape(spans, scores=scores.get(trace, ()))) + b"\n"


async def _batches(engine: Engine, listing: Listing) -> AsyncIterator[Mapping[str, list[StoredSpan]]]:
    cursor: str | None = None
    while True:
        page = replace(listing, limit=_PAGE, cursor=cursor)
        found, cursor = await newest_ids(engine, page)
        for ids in await _in_batches(engine, listing.project, [trace for trace, _ in found]):
            groups = group_by_trace(await whole_spans(engine, listing.project, ids))
            yield {each: groups[each] for each in ids if each in groups}
        if cursor is None:
            return


async def _in_batches(engine: Engine, project: str, ids: Sequence[str]) -> list[list[str]]:
    """Ids of traces in groups of no more spans than are taken at a time."""
    if not ids:
        return []
    rows = await engine.query(
        "SELECT toString(trace_id), count() FROM spans WHERE project = {project:String} AND trace_id IN {ids:Array(String)}"
        " GROUP BY trace_id",
        {"project": project, "ids": list(ids)},
    )
    counts = {str(row[0]): cast("int", row[1]) for row in rows}
    batches, size = [list[str]()], 0
    for each in ids:
        if batches[-1] and size + counts.get(each, 0) > _SPANS:
            batches.append([])
            size = 0
        batches[-1].append(each)
        size += counts.get(each, 0)
    return batches
