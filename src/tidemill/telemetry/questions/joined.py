"""What was said in a span but came as a log record: put into the span when a trace is read. Pure.

A row that came so is marked by `EVENT` and lies below its span. Where the span says nothing of its input or output, the
messages of its records are it, in the order of their time; what else they said stands in its events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, cast

from msgspec import structs

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanRecord
from tidemill.telemetry.questions.trace import StoredSpan

EVENT: Final = "tidemill.event"
"""The attribute of a row that is a log record of the span above it."""


def mark_event(record: SpanRecord) -> SpanRecord:
    """A record made of a log record, as it is stored: it counts for nothing by itself."""
    attributes = {**record.attributes, EVENT: True}
    return structs.replace(record, kind="other", model=None, provider=None, cost=None, attributes=attributes)


def join_events(spans: Sequence[StoredSpan]) -> Sequence[StoredSpan]:
    """The spans with what was said of them. A record whose span is not there (yet) stays as it is."""
    events = [each for each in spans if EVENT in each.attributes]
    if not events:
        return spans
    own = {each.span_id for each in spans if EVENT not in each.attributes}
    said: dict[str, list[StoredSpan]] = {}
    for each in sorted(events, key=lambda event: event.start_ns):
        if each.parent_id in own:
            said.setdefault(each.parent_id, []).append(each)
    joined = {each.span_id for group in said.values() for each in group}
    return [_with(each, said.get(each.span_id, ())) for each in spans if each.span_id not in joined]


def _with(span: StoredSpan, said: Sequence[StoredSpan]) -> StoredSpan:
    if not said:
        return span
    return replace(
        span,
        input=_messages(each.input for each in said) if span.input is None else span.input,
        output=_messages(each.output for each in said) if span.output is None else span.output,
        events=[*span.events, *(event for each in said for event in _events(each))],
        finish_reasons=span.finish_reasons or tuple(reason for each in said for reason in each.finish_reasons),
    )


def _events(said: StoredSpan) -> Sequence[Json]:
    """Its event; when its content became messages, its name is what is left."""
    if said.events:
        return said.events
    return [cast("Json", {"name": said.name, "time_ns": said.start_ns})]


def _messages(values: Iterable[Json]) -> Json:
    """One conversation of several pieces; a value that is none stands for itself."""
    found = [each for each in values if each is not None]
    if not found:
        return None
    pieces = [each.get("messages") if isinstance(each, dict) else None for each in found]
    if any(not isinstance(each, list) for each in pieces):
        return found[0]
    rest = {key: value for each in found for key, value in cast("JsonObject", each).items() if key != "messages"}
    return {"messages": [message for piece in pieces for message in cast("list[Json]", piece)], **rest}
