"""Traces as a stream: exported whole, and as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from tidemill.api.caller import AnyCaller
from tidemill.api.events import Event, event_stream
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.api.traces_filter import read_filter
from tidemill.telemetry.questions.export import MEDIA, Form

router = Router(tags=["traces"])
_ENDING = {"jsonl": "jsonl", "parquet": "parquet", "otlp": "otlp.jsonl"}


@router.get("/traces:export", response_model=None)
async def export_traces(
    call: AnyCaller,
    format: Form = "jsonl",  # noqa: A002  (the field's own word)
    q: str | None = None,
    filter: str | None = None,  # noqa: A002  (the promised name)
    saved: str | None = None,
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: str | None = None,
) -> StreamingResponse:
    """Whole traces, newest first: a trace a line (`jsonl`), a span a row (`parquet`), OTLP in JSON, a trace a line (`otlp`)."""
    now_ns = call.platform.clock.now_ns()
    expression = await read_filter(call, filter, saved=saved)
    pieces = call.platform.telemetry.export_traces(
        call.project, format, filter=expression, q=q, from_ns=since_ns(from_, now_ns=now_ns),
        to_ns=since_ns(to, now_ns=now_ns), now_ns=now_ns,
    )  # fmt: skip
    name = f"attachment; filename={call.project}-traces.{_ENDING[format]}"
    return StreamingResponse(pieces, media_type=MEDIA[format], headers={"content-disposition": name})


@router.get("/traces:tail", response_model=None)
async def tail_traces(
    call: AnyCaller,
    filter: str | None = None,  # noqa: A002  (the promised name)
    saved: str | None = None,
) -> Response:
    """Traces that meet the filter as they come, as server-sent events `trace`, until the caller leaves.

    A caller that reads slowly is told the newest, and by an event `missed` how many others there were.
    """
    expression = await read_filter(call, filter, saved=saved)
    now_ns = call.platform.clock.now_ns()

    async def events() -> AsyncGenerator[Event]:
        source = call.platform.telemetry.tail(call.project, filter=expression, now_ns=now_ns)
        try:
            async for found, missed in source:
                for each in found:
                    yield Event(id=str(each["id"]), name="trace", data=each)
                if missed:
                    yield Event(id="", name="missed", data={"traces": missed})
        finally:
            await source.aclose()

    return event_stream(events())
