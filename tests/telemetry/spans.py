"""Span records for the tests of this room."""

from __future__ import annotations

from tidemill.core.chat import Usage
from tidemill.core.records import SpanRecord

START_NS = 1_790_000_000_000_000_000


def make_span(number: int = 0, *, trace: int | None = None, parent: int | None = None, **fields) -> SpanRecord:
    start = fields.pop("start_ns", START_NS + number * 1_000_000)
    return SpanRecord(
        trace_id=f"{number if trace is None else trace:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=None if parent is None else f"{parent + 1:016x}",
        name=fields.pop("name", f"span {number}"),
        kind=fields.pop("kind", "chain"),
        start_ns=start,
        end_ns=fields.pop("end_ns", start + 2_000_000),
        project=fields.pop("project", "p"),
        status=fields.pop("status", "ok"),
        usage=Usage(input_tokens=fields.pop("tokens_in", 0), output_tokens=fields.pop("tokens_out", 0)),
        **fields,
    )
