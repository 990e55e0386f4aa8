"""Traces: listed, shown, searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from fastapi import Query

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.feedback import feedback_of
from tidemill.api.router import Router
from tidemill.api.times import to_ns

router = Router(tags=["traces"])


class Search(Body):
    """Words that a span's input or output must hold."""

    text: str
    limit: Limit = 50


@router.get("/traces")
async def list_traces(
    call: AnyCaller,
    q: str | None = None,
    filter: str | None = None,  # noqa: A002  (the promised name)
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: str | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Page:
    """The newest first; `q` searches the text of inputs and outputs."""
    telemetry = call.platform.telemetry
    await telemetry.flush()
    found = await telemetry.list_traces(
        call.project, q=q, filter=filter, from_ns=to_ns(from_), to_ns=to_ns(to), limit=limit, cursor=cursor
    )
    return page(list(cast("Sequence[Any]", found["items"])), cast("str | None", found["next"]))


@router.get("/traces/{trace_id}")
async def get_trace(call: AnyCaller, trace_id: str) -> dict[str, Any]:
    """One trace with its spans and what was said of it, by its id or the beginning of it."""
    await call.platform.telemetry.flush()
    found = await call.platform.telemetry.get_trace(call.project, trace_id)
    return {**found, "feedback": await feedback_of(call, str(found["id"]))}


@router.post("/spans:search")
async def search_spans(call: AnyCaller, body: Search) -> Page:
    """Spans whose input or output holds all the words."""
    await call.platform.telemetry.flush()
    return page(list(await call.platform.telemetry.search_spans(call.project, body.text, limit=body.limit)))
