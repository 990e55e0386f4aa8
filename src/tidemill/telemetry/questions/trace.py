"""One trace out of its spans: the shapes that the API answers with. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from tidemill.core.json import Json, JsonObject

BILLED_KINDS: Final = frozenset({"llm", "embedding", "reranker"})


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSpan:
    """A span as the store gives it back; empty text means that there is none."""

    trace_id: str
    span_id: str
    parent_id: str
    root: bool
    name: str
    kind: str
    start_ns: int
    duration_ns: int
    status: str
    error: str
    input: Json
    output: Json
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: float | None
    release: str
    endpoint: str
    step: str
    user: str
    session: str
    tags: tuple[str, ...]
    attributes: JsonObject
    provider: str = ""
    first_token_ns: int = 0
    finish_reasons: tuple[str, ...] = ()
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    weight: float = 1.0
    input_at: str = ""
    output_at: str = ""
    received_ns: int = 0
    service: str = ""
    scope: str = ""
    dialect: str = ""
    events: Sequence[Json] = ()
    links: Sequence[Json] = ()
    resource: JsonObject = field(default_factory=dict[str, Json])

    @property
    def usage(self) -> JsonObject:
        """Its tokens."""
        return usage_shape([self])


def trace_shape(spans: Sequence[StoredSpan], *, scores: Sequence[JsonObject] = ()) -> JsonObject:
    """The trace of INTERFACES.md: one with all its spans in the order of their start. `spans` are one trace's, at least one.

    A trace whose first span is not finished, or was lost in a crash, takes its name from the earliest span there is and has
    the status `unset`. A span has its `depth` below the top and stands after the one above it (`place` in the tree); one whose
    parent never came, or that is within a ring, stands at the top.
    """
    ordered = sorted(spans, key=lambda span: (span.start_ns, not span.root))
    by_span: dict[str, list[Json]] = {}
    for each in scores:
        by_span.setdefault(str(each.get("span") or ""), []).append(each)
    tree = places(ordered)
    shapes = [{**span_shape(span), **_place(tree, span), **_scored(by_span, span)} for span in ordered]
    return {**summary_shape(ordered), "scores": list(scores), "spans": cast("list[Json]", shapes)}


def _place(tree: Mapping[str, tuple[int, int]], span: StoredSpan) -> JsonObject:
    depth, place = tree[span.span_id]
    return {"depth": depth, "order": place}


def _scored(by_span: Mapping[str, list[Json]], span: StoredSpan) -> JsonObject:
    return {"scores": by_span[span.span_id]} if span.span_id in by_span else {}


def places(ordered: Sequence[StoredSpan]) -> Mapping[str, tuple[int, int]]:
    """By span id: how deep it is below the top, and its place (from 0) when the tree is read from top to bottom.

    `ordered` are the spans of one trace by their start. Every span has a place: a parent that never came leaves its children at
    the top, and of a ring the span that began first is the top.
    """
    known = {span.span_id for span in ordered}
    below: dict[str, list[str]] = {}
    tops: list[str] = []
    for span in ordered:
        if span.parent_id in known and span.parent_id != span.span_id:
            below.setdefault(span.parent_id, []).append(span.span_id)
        else:
            tops.append(span.span_id)
    found: dict[str, tuple[int, int]] = {}
    for top in (*tops, *(span.span_id for span in ordered)):
        waiting = [(top, 0)]
        while waiting:
            at, depth = waiting.pop()
            if at not in found:
                found[at] = (depth, len(found))
                waiting += [(each, depth + 1) for each in reversed(below.get(at, ()))]
    return found


def summary_shape(spans: Sequence[StoredSpan]) -> JsonObject:
    """A trace without its spans, as in a list of traces."""
    ordered = sorted(spans, key=lambda span: (span.start_ns, not span.root))
    roots = [span for span in ordered if span.root]
    first = roots[0] if roots else ordered[0]
    failed = next((span for span in roots if span.status == "error"), None)
    start = min(span.start_ns for span in roots or ordered)
    end = max(span.start_ns + span.duration_ns for span in roots or ordered)
    charged = list(charged_spans(ordered))
    asked, answered = _speakers(ordered, first if roots else None)
    return {
        "id": first.trace_id,
        "name": first.name,
        "kind": first.kind,
        "release": first.release or None,
        "endpoint": first.endpoint or None,
        "start": time_text(start),
        "duration_ms": (end - start) / 1e6,
        "status": "error" if failed else first.status if roots else "unset",
        "error": failed.error if failed else None,
        "input": asked.input if asked else None,
        "output": answered.output if answered else None,
        "usage": usage_shape(charged),
        "cost": total_cost(charged),
        "user": first.user or next((span.user for span in ordered if span.user), None),
        "session": first.session or next((span.session for span in ordered if span.session), None),
        "tags": list(first.tags),
        "weight": first.weight,
        "service": first.service or None,
        "first_token_ms": _first_token_ms(roots, charged),
        "models": list(dict.fromkeys(span.model for span in charged if span.model)),
        **_kept_apart(asked, answered),
    }


def _speakers(ordered: Sequence[StoredSpan], first: StoredSpan | None) -> tuple[StoredSpan | None, StoredSpan | None]:
    """The spans that say what a trace was asked and what it answered: its first, or calls of models where that is silent."""
    if first is not None and not is_silent(first):
        return first, first
    calls = [span for span in ordered if span.kind == "llm"]
    asked = next((span for span in calls if span.input is not None), None)
    return asked, next((span for span in reversed(calls) if span.output is not None), None)


def is_silent(span: StoredSpan) -> bool:
    """Whether a span holds neither input nor output, as that of a web framework."""
    return span.input is None and span.output is None


def _kept_apart(asked: StoredSpan | None, answered: StoredSpan | None) -> JsonObject:
    """By input and output the span whose value is only shown by its beginning."""
    found: dict[str, Json] = {}
    if asked is not None and asked.input_at:
        found["input"] = asked.span_id
    if answered is not None and answered.output_at:
        found["output"] = answered.span_id
    return {"kept_apart": found} if found else {}


def _first_token_ms(roots: Sequence[StoredSpan], charged: Sequence[StoredSpan]) -> float | None:
    """When the first token came, counted from the trace's start: as its first span says, else from the last call of a model."""
    for span in roots:
        if span.first_token_ns:
            return span.first_token_ns / 1e6
    streamed = [span for span in charged if span.first_token_ns]
    if not streamed or not roots:
        return None
    last = max(streamed, key=lambda span: span.start_ns)
    return (last.start_ns + last.first_token_ns - min(span.start_ns for span in roots)) / 1e6


def span_shape(span: StoredSpan) -> JsonObject:
    """One span of a trace."""
    return {
        "id": span.span_id,
        "parent_id": span.parent_id or None,
        "name": span.name,
        "kind": span.kind,
        "step": span.step or None,
        "start": time_text(span.start_ns),
        "duration_ms": span.duration_ns / 1e6,
        "status": span.status,
        "error": span.error or None,
        "input": span.input,
        "output": span.output,
        "apart": [name for name, at in (("input", span.input_at), ("output", span.output_at)) if at],
        "model": span.model or None,
        "usage": span.usage,
        "cost": span.cost,
        "provider": span.provider or None,
        "first_token_ms": span.first_token_ns / 1e6 if span.first_token_ns else None,
        "finish_reasons": list(span.finish_reasons),
        "weight": span.weight,
        "service": span.service or None,
        "scope": span.scope or None,
        "dialect": span.dialect or None,
        "events": list(span.events),
        "links": list(span.links),
        "resource": span.resource,
        "attributes": span.attributes,
    }


def charged_spans(spans: Sequence[StoredSpan]) -> Iterable[StoredSpan]:
    """The spans whose usage and cost make up the trace's: calls of models with no other such call below them.

    A caller's span often repeats the sum of what is below it, so counting every span would count twice. A trace without any
    such call is what its first spans say of themselves.
    """
    parents = {span.span_id: span.parent_id for span in spans}
    billed = [span for span in spans if span.kind in BILLED_KINDS]
    above = set[str]()
    for span in billed:
        at = span.parent_id
        while at and at not in above:
            above.add(at)
            at = parents.get(at, "")
    leaves = [span for span in billed if span.span_id not in above]
    return leaves or [span for span in spans if span.root]


def usage_shape(spans: Iterable[StoredSpan]) -> JsonObject:
    """Tokens, summed; the rarer classes where there are any."""
    found = list(spans)
    rarer = {
        "cache_write_tokens": sum(span.cache_write_tokens for span in found),
        "reasoning_tokens": sum(span.reasoning_tokens for span in found),
        "audio_input_tokens": sum(span.audio_input_tokens for span in found),
        "audio_output_tokens": sum(span.audio_output_tokens for span in found),
    }
    return {
        "input_tokens": sum(span.input_tokens for span in found),
        "output_tokens": sum(span.output_tokens for span in found),
        "cached_tokens": sum(span.cached_tokens for span in found),
        **{name: count for name, count in rarer.items() if count},
    }


def total_cost(spans: Sequence[StoredSpan]) -> float | None:
    """US dollars, summed over what has a price; None when nothing has one."""
    known = [span.cost for span in spans if span.cost is not None]
    return sum(known) if known else None


def time_text(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, to the microsecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def group_by_trace(spans: Iterable[StoredSpan]) -> Mapping[str, list[StoredSpan]]:
    """Spans by the trace that they belong to."""
    groups: dict[str, list[StoredSpan]] = {}
    for span in spans:
        groups.setdefault(span.trace_id, []).append(span)
    return groups
