"""Spans as OpenTelemetry's SDKs print them: Python's `span.to_json()`, and JavaScript's `ReadableSpan`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.exports.documents import Entries, Entry, items, mapping, text_of
from tidemill.telemetry.exports.events import read_events
from tidemill.telemetry.exports.form import Form
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawSpan

_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


def _fits(record: JsonObject) -> bool:
    if "spanContext" in record:
        return "name" in record and "startTime" in record
    return "trace_id" in mapping(record.get("context")) and "start_time" in record and "name" in record


def _spans(entries: Entries, _project: str) -> Iterator[RawSpan]:
    for entry in entries:
        yield _span(entry)


def _span(entry: Entry) -> RawSpan:
    span, where = entry.record(), entry.where
    told, own, state = _ids(span.get("spanContext", span.get("context")))
    if not told or not own:
        raise Invalid(f"{where} is a span without {'an id' if told else 'the id of its trace'}")
    parent = text_of(span, "parent_id", "parentSpanId", "parentId") or _ids(span.get("parentSpanContext"))[1]
    start = time_ns(span.get("startTime", span.get("start_time")), where=f"{where}: its start")
    end = span.get("endTime", span.get("end_time"))
    status, message = _status(mapping(span.get("status")))
    resource = mapping(span.get("resource"))
    scope = mapping(span.get("instrumentationScope")) or mapping(span.get("instrumentationLibrary"))
    return RawSpan(
        trace_id=trace_id(told),
        span_id=span_id(own),
        parent_id=span_id(parent),
        name=text_of(span, "name") or "span",
        start_ns=start,
        end_ns=start if end is None else time_ns(end, where=f"{where}: its end"),
        attributes={**mapping(span.get("attributes"))} | originals(trace=told, span=own, form="otel-sdk"),
        status=status,
        status_message=message,
        kind=_kind(span.get("kind"), python="context" in span),
        trace_state=state,
        events=read_events(span.get("events"), where=where),
        links=[_link(mapping(each)) for each in items(span.get("links"))],
        resource=mapping(resource.get("attributes")) or mapping(resource.get("_attributes")),
        scope=text_of(scope, "name"),
        scope_version=text_of(scope, "version"),
    )


def _ids(value: Json) -> tuple[str, str, str]:
    context = mapping(value)
    state = text_of(context, "trace_state", "traceState")
    return text_of(context, "traceId", "trace_id"), text_of(context, "spanId", "span_id"), "" if state == "[]" else state


def _link(link: JsonObject) -> JsonObject:
    told, own, _ = _ids(link.get("context"))
    return {"trace_id": trace_id(told), "span_id": span_id(own), "attributes": mapping(link.get("attributes"))}


def _status(status: JsonObject) -> tuple[Literal["unset", "ok", "error"], str]:
    code = status.get("code", status.get("status_code"))
    message = text_of(status, "message", "description")
    if code in {2, "ERROR"}:
        return "error", message
    return ("ok" if code in {1, "OK"} else "unset"), message


def _kind(value: Json, *, python: bool) -> int:
    """OTLP's number. Python writes `SpanKind.CLIENT`; JavaScript counts from 0, without "unspecified"."""
    if isinstance(value, str):
        name = value.rpartition(".")[2].upper()
        return _KINDS.index(name) if name in _KINDS else 0
    if isinstance(value, int) and 0 <= value < len(_KINDS):
        return value if python else min(value + 1, len(_KINDS) - 1)
    return 0


FORM: Final = Form(name="otel-sdk", title="OpenTelemetry's SDKs", fits=_fits, spans=_spans)
