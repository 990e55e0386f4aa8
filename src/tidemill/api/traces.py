"""Traces: listed, shown, searched; sessions and users; scores that come late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Query
from pydantic import Field

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.feedback import feedback_of
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.api.traces_filter import read_filter
from tidemill.api.traces_payload import with_payloads
from tidemill.api.traces_semantic import Search, search_by_meaning
from tidemill.core.errors import Invalid
from tidemill.core.refs import check_name
from tidemill.store import audit
from tidemill.telemetry.questions.scores import TraceScore

router = Router(tags=["traces"])
_MOST_SCORES: Final = 1000
Start = Annotated[str | None, Query(alias="from")]


class NewScore(Body):
    """A number, a text, or both, under a name; of the whole trace, or of a span by its id. The last by one author counts."""

    name: str
    value: float | None = None
    text: str = Field("", max_length=16384)
    span: str | None = None
    by: str = Field("", max_length=256)
    removed: bool = False


class NewScores(Body):
    """What to keep of a trace."""

    items: tuple[NewScore, ...] = Field(min_length=1, max_length=_MOST_SCORES)


@router.get("/traces")
async def list_traces(  # noqa: PLR0913, PLR0917  (each is a way to narrow it)
    call: AnyCaller,
    q: str | None = None,
    filter: str | None = None,  # noqa: A002  (the promised name)
    saved: str | None = None,
    from_: Start = None,
    to: str | None = None,
    order: str = "-start",
    limit: Limit = 50,
    cursor: str | None = None,
) -> Page:
    """The newest first, or by `order`: `-latency`, `-cost`, `-tokens`.

    `filter` is an expression (see the reference of filters), `saved` the name of a saved one; `q` searches inputs and outputs.
    `from` and `to` are times, or so long ago as in `2h`; without `to` the list ends a day from now.
    """
    now_ns = call.platform.clock.now_ns()
    expression = await read_filter(call, filter, saved=saved)
    found = await call.platform.telemetry.list_traces(
        call.project, q=q, filter=expression, from_ns=since_ns(from_, now_ns=now_ns), to_ns=since_ns(to, now_ns=now_ns),
        limit=limit, cursor=cursor, order=order, now_ns=now_ns,
    )  # fmt: skip
    return page(list(cast("Sequence[Any]", found["items"])), cast("str | None", found["next"]))


@router.get("/traces/{trace_id}")
async def get_trace(call: AnyCaller, trace_id: str, full: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  (a query's word)
    """One trace with its spans and what was said of it, by its id or the beginning of it.

    `full`: inputs and outputs that are kept apart stand whole in their spans, 16 MiB in all. What is beyond, not kept any more
    or damaged stays in the span's `apart`, with its beginning; a span's `notes` say why.
    """
    found = await call.platform.telemetry.get_trace(call.project, trace_id)
    if full:
        found = await with_payloads(call, found)
    return {**found, "feedback": await feedback_of(call, str(found["id"]))}


@router.post("/traces/{trace_id}/scores", status_code=201)
async def add_scores(call: AnyCaller, trace_id: str, body: NewScores) -> Page:
    """Keep scores of a trace, also long after it ran. The same name by the same author takes the place of the one before."""
    trace = await call.platform.telemetry.find_trace(call.project, trace_id)
    now_ns = call.platform.clock.now_ns()
    kept = [_score(call, each, trace.id, trace.spans, now_ns) for each in body.items]
    names = sorted({each.name for each in body.items})
    await call.platform.telemetry.put_scores(kept)
    await call.platform.database.write(
        lambda db: audit.append(
            db, call.project, who=call.who, action="scores.added", target=f"trace/{trace.id}",
            detail={"names": names, "count": len(kept)}, now_ns=now_ns,
        )
    )  # fmt: skip
    found = await call.platform.telemetry.scores_of(call.project, [trace.id])
    return page(list(found.get(trace.id, ())))


def _score(call: Caller, body: NewScore, trace: str, spans: Any, now_ns: int) -> TraceScore:
    check_name(body.name, what="score name")
    if body.span is not None and body.span not in spans:
        raise Invalid(f"trace {trace} has no span {body.span[:80]!r}", where="span", hint="Send a span's id, or none.")
    if body.value is not None and not math.isfinite(body.value):
        raise Invalid("the value of a score is a finite number", where="value", hint="Send a number, as in 0.8.")
    if body.value is None and not body.text and not body.removed:
        raise Invalid(f"the score {body.name} has neither value nor text", where="value", hint="Send a number, as in 0.8.")
    return TraceScore(
        project=call.project, trace_id=trace, span_id=body.span or "", name=body.name, source="api",
        author=body.by or call.who, value=body.value, text=body.text, at_ns=now_ns, removed=body.removed,
    )  # fmt: skip


@router.post("/spans:search")
async def search_spans(call: AnyCaller, body: Search) -> Page:
    """Spans that hold all the words and meet the filter, newest first; in the mode `semantic` traces by what they mean.

    The mode `semantic` also says how many of how many texts were looked at: `{"covered", "texts", "embedded"}`.
    """
    now_ns = call.platform.clock.now_ns()
    expression = await read_filter(call, body.filter)
    if not body.text.strip() and body.filter is None:
        raise Invalid("nothing is searched for", where="text", hint='Send {"text": "refund"}.')
    bounds = {"from_ns": since_ns(body.from_, now_ns=now_ns), "to_ns": since_ns(body.to, now_ns=now_ns)}
    if body.mode == "semantic":
        return await search_by_meaning(call, body, expression, **bounds)
    found = await call.platform.telemetry.search_spans(
        call.project, body.text, filter=expression, limit=body.limit, now_ns=now_ns, **bounds
    )
    return {**page(list(found)), "texts": None, "covered": None, "embedded": None}


@router.get("/sessions")
async def list_sessions(
    call: AnyCaller,
    filter: str | None = None,  # noqa: A002  (the promised name)
    from_: Start = None,
    to: str | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Page:
    """Conversations, the last active first, each with what its traces come to."""
    return await _groups(call, "session", filter, from_, to, limit, cursor)


@router.get("/sessions/{session:path}")
async def get_session(call: AnyCaller, session: str, limit: Limit = 100, cursor: str | None = None) -> dict[str, Any]:
    """A conversation: what it comes to, and its traces in the order in which they began."""
    found = await call.platform.telemetry.get_session(call.project, session, limit=limit, cursor=cursor)
    return {**found, **page(list(cast("Sequence[Any]", found["items"])), cast("str | None", found["next"]))}


@router.get("/trace-users")
async def list_users(
    call: AnyCaller,
    filter: str | None = None,  # noqa: A002  (the promised name)
    from_: Start = None,
    to: str | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Page:
    """Whom traces were done for, the last seen first, each with what their traces come to."""
    return await _groups(call, "user", filter, from_, to, limit, cursor)


async def _groups(
    call: Caller,
    by: Literal["session", "user"],
    filter: str | None,  # noqa: A002  (the promised name)
    from_: str | None,
    to: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    now_ns = call.platform.clock.now_ns()
    found = await call.platform.telemetry.list_groups(
        call.project, by, filter=await read_filter(call, filter), limit=limit, cursor=cursor,
        from_ns=since_ns(from_, now_ns=now_ns), to_ns=since_ns(to, now_ns=now_ns), now_ns=now_ns,
    )  # fmt: skip
    return page(list(cast("Sequence[Any]", found["items"])), cast("str | None", found["next"]))
