"""Export requests for the tests of this room, as exporters make them."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START_NS = 1_790_000_000_000_000_000


def value(given) -> AnyValue:
    match given:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=given)
        case int():
            return AnyValue(int_value=given)
        case float():
            return AnyValue(double_value=given)
        case bytes():
            return AnyValue(bytes_value=given)
        case str():
            return AnyValue(string_value=given)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(given)))
        case _:
            return AnyValue(array_value=ArrayValue(values=[value(each) for each in given]))


def pairs(attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(each)) for key, each in attributes.items()]


def span(number: int = 1, *, trace: int = 1, parent: int | None = None, attributes=None, **fields) -> Span:
    start = fields.pop("start_time_unix_nano", START_NS + number)
    return Span(
        trace_id=fields.pop("trace_id", trace.to_bytes(16, "big")),
        span_id=fields.pop("span_id", number.to_bytes(8, "big")),
        parent_span_id=fields.pop("parent_span_id", b"" if parent is None else parent.to_bytes(8, "big")),
        name=fields.pop("name", f"span {number}"),
        start_time_unix_nano=start,
        end_time_unix_nano=fields.pop("end_time_unix_nano", start + 1_000_000),
        attributes=pairs(attributes or {}),
        **fields,
    )


def export(*spans: Span, resource=None, scope: str = "tests") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(pairs({"service.name": "shop"} if resource is None else resource))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = scope
    of_scope.spans.extend(spans)
    return request


def logs(*records) -> ExportLogsServiceRequest:
    """Each record: (event name, attributes, body, trace, span)."""
    request = ExportLogsServiceRequest()
    of_scope = request.resource_logs.add().scope_logs.add()
    for place, (name, attributes, body, trace, of_span) in enumerate(records):
        of_scope.log_records.add(
            event_name=name, attributes=pairs(attributes), body=value(body), time_unix_nano=START_NS + place,
            trace_id=trace.to_bytes(16, "big"), span_id=of_span.to_bytes(8, "big"),
        )  # fmt: skip
    return request
