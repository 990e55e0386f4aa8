"""Spans out of an export request: each checked by itself, so that one bad span does not take the others with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, cast

from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.genai import REMOTE_PARENT
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.values import cut, read_attributes, read_packed

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

EARLIEST_NS: Final = 946_684_800 * 10**9
"""2000-01-01: a span that starts before has no clock."""
LATEST_NS: Final = 4_102_444_800 * 10**9
"""2100-01-01."""
MOST_EVENTS: Final = 4096
"""Events of one span, and its links; the rest is dropped and counted."""
_LONGEST_NAME: Final = 4096
_DAY_NS: Final = 86_400 * 10**9
_YEAR_NS: Final = 365 * _DAY_NS
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_STATUS: Final[tuple[Literal["unset", "ok", "error"], ...]] = ("unset", "ok", "error")
_IS_REMOTE: Final = 0x300  # the two flags by which a sender says that the parent is in another process
_UNNAMED: Final = "unknown"  # as the protocol says of a name that is missing


def read_spans(request: ExportTraceServiceRequest, tally: Tally, *, now_ns: int) -> Iterator[RawSpan | None]:
    """Every span in order; None in the place of one that was rejected, which is in the tally.

    `request` is what `parse_traces` made, with packed attributes.
    """
    for of_resource in request.resource_spans:
        resource = read_attributes(of_resource.resource.attributes, tally)
        for of_scope in of_resource.scope_spans:
            scope = of_scope.scope
            shared = _with_scope(resource, scope, tally)
            for span in of_scope.spans:
                yield _read_span(span, tally, resource=shared, scope=scope.name, version=scope.version, now_ns=now_ns)


def _with_scope(resource: dict[str, Json], scope: InstrumentationScope, tally: Tally) -> dict[str, Json]:
    if not scope.attributes:
        return resource
    return resource | {f"otel.scope.{key}": value for key, value in read_attributes(scope.attributes, tally).items()}


def _read_span(span: Span, tally: Tally, *, resource: JsonObject, scope: str, version: str, now_ns: int) -> RawSpan | None:
    trace_id, span_id, start_ns = span.trace_id, span.span_id, span.start_time_unix_nano
    if (reason := why_not(trace_id, span_id, start_ns)) is not None:
        tally.reject(reason)
        return None
    end_ns, parent = _end_of(span, tally, now_ns=now_ns), _parent_of(span, tally)
    name = span.name or _UNNAMED
    attributes = read_packed(cast("Sequence[bytes]", span.attributes), tally)
    if parent and span.flags & _IS_REMOTE == _IS_REMOTE:
        attributes[REMOTE_PARENT] = True
    return RawSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent.hex(),
        name=name if len(name) <= _LONGEST_NAME else cut(name[: _LONGEST_NAME * 2], tally)[:_LONGEST_NAME],
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=attributes,
        status=_STATUS[code] if (code := span.status.code) in {1, 2} else "unset",
        status_message=span.status.message,
        kind=span.kind,
        trace_state=span.trace_state,
        events=_read_events(span, tally) if span.events else (),
        links=_read_links(span, tally) if span.links else (),
        resource=resource,
        scope=scope,
        scope_version=version,
        dropped=span.dropped_attributes_count + span.dropped_events_count + span.dropped_links_count,
    )


def _end_of(span: Span, tally: Tally, *, now_ns: int) -> int:
    start_ns, end_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not now_ns - _YEAR_NS < start_ns < now_ns + _DAY_NS:
        old = start_ns < now_ns
        tally.warn("spans are more than a year old" if old else "spans start in the future: check the sender's clock")
    if end_ns < start_ns:
        tally.warn("spans end before they start and were given no length")
        return start_ns
    if end_ns > LATEST_NS:
        tally.warn("spans end after the year 2100 and were given no length")
        return start_ns
    return end_ns


def _parent_of(span: Span, tally: Tally) -> bytes:
    parent = span.parent_span_id
    if not parent or parent == _NO_SPAN:
        return b""
    if len(parent) != 8:
        tally.warn("spans have a parent id of a wrong length and were given no parent")
        return b""
    if parent == span.span_id:
        tally.warn("spans are their own parent and were given none")
        return b""
    return parent


def why_not(trace_id: bytes, span_id: bytes, start_ns: int) -> str | None:
    """Why there can be no such span; None when there can."""
    if len(trace_id) != 16 or len(span_id) != 8:
        return f"ids of {len(trace_id)} and {len(span_id)} bytes; a trace id has 16 and a span id 8"
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return "a trace id or span id of zeros only"
    if not EARLIEST_NS <= start_ns < LATEST_NS:
        return "a start outside the years 2000 to 2099; times are nanoseconds since 1970"
    return None


def _read_events(span: Span, tally: Tally) -> Sequence[RawEvent]:
    tally.events_dropped += max(0, len(span.events) - MOST_EVENTS)
    return [
        RawEvent(name=each.name, time_ns=each.time_unix_nano, attributes=read_attributes(each.attributes, tally))
        for each in span.events[:MOST_EVENTS]
    ]


def _read_links(span: Span, tally: Tally) -> Sequence[JsonObject]:
    tally.events_dropped += max(0, len(span.links) - MOST_EVENTS)
    return [
        {
            "trace_id": each.trace_id.hex(),
            "span_id": each.span_id.hex(),
            "attributes": read_attributes(each.attributes, tally),
        }
        for each in span.links[:MOST_EVENTS]
    ]
