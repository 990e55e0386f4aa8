"""Feedback: taken for a trace or a span of it, from people and from applications; listed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import Response
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller, FeedbackCaller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.api.times import iso, since_ns
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit, feedback
from tidemill.store.feedback import Feedback, FeedbackKind
from tidemill.telemetry.questions.scores import TraceScore
from tidemill.telemetry.questions.spans import FoundTrace

router = Router(tags=["feedback"])
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_WHOLE_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_LONGEST: Final[Mapping[str, int]] = {"correction": 256 * 1024, "comment": 64 * 1024, "event": 16 * 1024}
_WRITTEN: Final = ("correction", "comment", "event")
_THUMBS: Final = ("up", "down")


class NewFeedback(Body):
    """What is said of which trace. Send an `id` of your own, so that sending it again changes nothing.

    `value` is `up` or `down` for thumbs, a number for a score, text for a correction or a comment, anything for an event. A
    score and an event have a `name`. `span` is a span's id, or its name where the trace has one span of it.
    """

    trace: str
    kind: FeedbackKind
    value: Any = None
    name: str = ""
    span: str | None = None
    user: str = Field("", max_length=256)
    id: str | None = None


class ManyFeedback(Body):
    """Several at once: all are kept, or none."""

    items: tuple[NewFeedback, ...] = Field(min_length=1, max_length=200)


def feedback_json(found: Feedback) -> dict[str, Any]:
    """Feedback as everyone sees it; `source` is who sent it, `user` whose opinion it is."""
    return {
        "id": found.id,
        "trace": found.trace_id,
        "span": found.span_id,
        "kind": found.kind,
        "name": found.name,
        "value": found.value,
        "user": found.user,
        "source": found.source,
        "replaced_by": found.replaced_by,
        "created": iso(found.created_ns),
    }


@router.post("/feedback", status_code=201)
async def add_feedback(call: FeedbackCaller, body: NewFeedback, response: Response) -> dict[str, Any]:
    """Keep what is said. What was said before, by its id or by the same person, is answered as it is with 200."""
    (kept, is_new), *_ = await _keep(call, [body])
    response.status_code = 201 if is_new else 200
    return feedback_json(kept)


@router.post("/feedback:batch", status_code=201)
async def add_many(call: FeedbackCaller, body: ManyFeedback) -> Page:
    """Keep several, all or none."""
    return page([feedback_json(kept) for kept, _ in await _keep(call, body.items)])


@router.get("/feedback")
async def list_feedback(
    call: AnyCaller,
    trace: str | None = None,
    kind: FeedbackKind | None = None,
    name: str | None = None,
    user: str | None = None,
    since: str | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """The newest first; what was replaced is left out."""
    whole = None if trace is None else (await call.platform.telemetry.find_trace(call.project, trace)).id
    from_ns = since_ns(since, now_ns=call.platform.clock.now_ns())
    found = await call.platform.database.read(
        lambda db: feedback.page_feedback(
            db, call.project, trace_id=whole, kind=kind, name=name, user=user, since_ns=from_ns, limit=limit, cursor=cursor
        )
    )
    return page([feedback_json(each) for each in found.items], found.next)


async def feedback_of(call: Caller, trace_id: str) -> list[dict[str, Any]]:
    """All that was said of a trace, newest first, as JSON."""
    found = await call.platform.database.read(lambda db: feedback.list_feedback(db, call.project, trace_ids=[trace_id]))
    return [feedback_json(each) for each in found]


async def _keep(call: Caller, bodies: list[NewFeedback] | tuple[NewFeedback, ...]) -> list[tuple[Feedback, bool]]:
    """Check everything, look each trace up once, and keep all in one transaction."""
    values = [_checked(each) for each in bodies]
    traces = {name: await _trace(call, name) for name in dict.fromkeys(each.trace for each in bodies)}
    now_ns = call.platform.clock.now_ns()
    rules = await call.platform.telemetry.gate.rules(call.project)
    wanted = [
        Feedback(
            project=call.project,
            id=body.id or call.platform.ids.text(),
            trace_id=traces[body.trace].id,
            span_id=None if body.span is None else _span(traces[body.trace], body.span),
            kind=body.kind,
            value=rules.value(value) if body.kind in _WRITTEN else value,
            name=body.name,
            user=rules.user(body.user),
            source=call.who,
            created_ns=now_ns,
        )
        for body, value in zip(bodies, values, strict=True)
    ]

    def work(db: Database) -> list[tuple[Feedback, bool]]:
        kept = [feedback.add_feedback(db, each) for each in wanted]
        new = [each for each, is_new in kept if is_new]
        if new:
            target = f"trace/{new[0].trace_id}" if len(new) == 1 else f"project/{call.project}"
            detail: JsonObject = {"kinds": sorted({each.kind for each in new}), "count": len(new)}
            audit.append(db, call.project, who=call.who, action="feedback.added", target=target, detail=detail, now_ns=now_ns)
        return kept

    said = await call.platform.database.write(work)
    await call.platform.telemetry.put_scores([each for kept, _ in said for each in scores_from(kept)])
    return said


def scores_from(said: Feedback) -> list[TraceScore]:
    """What was said as a score of the trace: thumbs as 1 or 0, a score's number, the words of the rest."""
    value, text = said.value, ""
    if said.kind == "thumbs":
        value, text = float(said.value == "up"), str(said.value)
    elif said.kind != "score":
        value, text = None, said.value if isinstance(said.value, str) else "" if said.value is None else as_words(said.value)
    # A person has one opinion of one thing, so a later one takes the place of the first; the rest adds up.
    adds_up = said.kind in {"comment", "event"}
    return [
        TraceScore(
            project=said.project, trace_id=said.trace_id, span_id=said.span_id or "", name=said.name or said.kind,
            source="feedback", author=f"{said.user}#{said.id}" if adds_up else said.user, at_ns=said.created_ns, text=text,
            value=float(value) if isinstance(value, int | float) else None,
        )
    ]  # fmt: skip


def as_words(value: Json) -> str:
    """An event's value as text to search."""
    return dump_json(value).decode()


async def _trace(call: Caller, trace: str) -> FoundTrace:
    """The trace, also when it was recorded just now. A key for endpoints sees the traces of its own only, by their whole id."""
    mine = call.principal.endpoints
    if mine is not None and not _WHOLE_TRACE.fullmatch(trace):
        raise Invalid(f"{trace!r} is not a trace id", where="trace", hint="Send the whole id, as in x-tidemill-trace.")
    await call.platform.telemetry.keep(call.project, trace)
    found = await call.platform.telemetry.find_trace(call.project, trace)
    if mine is not None and found.endpoint not in mine:
        raise NotFound(f"no trace {trace} in project {call.project}", hint="Send the id in x-tidemill-trace.")
    return found


def _span(trace: FoundTrace, wanted: str) -> str:
    """A span's id, by its id or by its name."""
    if wanted in trace.spans:
        return wanted
    named = [span_id for span_id, name in trace.spans.items() if name == wanted]
    if len(named) > 1:
        raise Invalid(f"{len(named)} spans are called {wanted!r}", where="span", hint="Name one by its id.")
    if not named:
        known = sorted({*trace.spans.values()})
        raise NotFound(f"trace {trace.id} has no span {wanted!r}", where="span", hint=did_you_mean(wanted, known))
    return named[0]


def _checked(body: NewFeedback) -> Json:
    """The value in its kind's own form. Raises `Invalid` for what does not fit the kind."""
    if body.id is not None and _ID.fullmatch(body.id) is None:
        raise Invalid(f"id {body.id[:140]!r} is not allowed", where="id", hint="Use 1 to 128 of A-Z a-z 0-9 . _ : -")
    if body.name or body.kind in {"score", "event"}:
        check_name(body.name, what=f"{body.kind} name")
    value = _plain(cast("Json", body.value), body)
    match body.kind:
        case "thumbs":
            if value not in _THUMBS:
                raise _wrong(body, "up or down", "Send up or down.")
        case "score":
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise _wrong(body, "a finite number", "Send a number, as in 0.8.")
        case "correction" | "comment":
            if not isinstance(value, str) or not value.strip():
                raise _wrong(body, "text", "Send text that is not empty.")
        case "event":
            pass
    return value


def _plain(value: Json, body: NewFeedback) -> Json:
    """The value, if it can be kept: JSON in UTF-8, and not too long."""
    try:
        size = len(dump_json([value, body.user]))
    except TypeError as error:
        raise Invalid("what was said cannot be written as JSON in UTF-8", where="value", hint=str(error)) from error
    if size > _LONGEST.get(body.kind, 1024) + 1024:
        raise Invalid(f"a {body.kind} of {size:,} bytes is too long", where="value", hint="Keep to what matters.")
    return value


def _wrong(body: NewFeedback, needed: str, hint: str) -> Invalid:
    shown = repr(body.value)
    return Invalid(f"the value of {body.kind} is {needed}, not {shown[:80]}", where="value", hint=hint)
