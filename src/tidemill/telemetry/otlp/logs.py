"""Log records that belong to a span: what was said in a model's call, sent apart from it.

Instrumentations write prompts and answers as events (`gen_ai.user.message`, `gen_ai.client.inference.operation.details`,
`gen_ai.evaluation.result` …) that are log records with the ids of their span, and come before it or after it. Each becomes a
row of its own below the span, and `joined.py` puts them together when a trace is read, so that neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2s
from typing import TYPE_CHECKING, Final

from tidemill.core.json import Json
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import EARLIEST_NS, LATEST_NS, why_not
from tidemill.telemetry.otlp.values import read_attributes, read_value

if TYPE_CHECKING:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

PREFIX: Final = "gen_ai."
_NOT_KEPT: Final = "log records say nothing of generative AI and were not kept"
_NO_SPAN: Final = "log records of generative AI name no span and were not kept"


def read_logs(request: ExportLogsServiceRequest, tally: Tally, *, now_ns: int) -> Iterator[RawSpan | None]:
    """What is kept, each as a span below the one that it belongs to, with one event; None in the place of what is not."""
    for of_resource in request.resource_logs:
        resource = read_attributes(of_resource.resource.attributes, tally)
        for of_scope in of_resource.scope_logs:
            scope = of_scope.scope
            for record in of_scope.log_records:
                attributes = read_attributes(record.attributes, tally)
                name = _name_of(record, attributes)
                if not name:
                    tally.warn(_NOT_KEPT)
                    yield None
                    continue
                made = _read_record(record, name, attributes, tally, now_ns=now_ns)
                if made is not None:
                    made.resource, made.scope, made.scope_version = resource, scope.name, scope.version
                yield made


def _name_of(record: LogRecord, attributes: dict[str, Json]) -> str:
    """The event's name; empty for a record that says nothing of generative AI."""
    named = record.event_name or attributes.get("event.name")
    if isinstance(named, str) and named.startswith(PREFIX):
        return named
    if any(key.startswith(PREFIX) for key in attributes):
        return named if isinstance(named, str) and named else "gen_ai.log"
    return ""


def _read_record(record: LogRecord, name: str, attributes: dict[str, Json], tally: Tally, *, now_ns: int) -> RawSpan | None:
    times = (record.time_unix_nano, record.observed_time_unix_nano)
    start_ns = next((each for each in times if EARLIEST_NS <= each < LATEST_NS), now_ns)
    if why_not(record.trace_id, record.span_id, start_ns) is not None:
        tally.warn(_NO_SPAN)
        return None
    body = read_value(record.body, tally)
    attributes.pop("event.name", None)
    own = blake2s(record.SerializeToString(deterministic=True), digest_size=8)
    return RawSpan(
        trace_id=record.trace_id.hex(),
        span_id=own.hexdigest(),
        parent_id=record.span_id.hex(),
        name=name,
        start_ns=start_ns,
        end_ns=start_ns,
        attributes={},
        events=[RawEvent(name=name, time_ns=start_ns, attributes=attributes, body=body)],
        resource={},
    )
