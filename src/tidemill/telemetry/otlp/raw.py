"""A span as it was sent, before anybody asked what its attributes mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanRecord


class RawEvent(msgspec.Struct, kw_only=True, gc=False):
    """Something that happened within a span, or a log record that belongs to one: its name, when, and what was said."""

    name: str
    time_ns: int
    attributes: dict[str, Json]
    body: Json = None


class RawSpan(msgspec.Struct, kw_only=True, gc=False):
    """One span of a request.

    Ids are lower-case hexadecimal (32 and 16 digits; no parent: empty), times nanoseconds since the epoch. Attribute values
    are JSON: texts, numbers, booleans, lists and objects; bytes came as base64. `resource` and `scope` are shared by the spans
    of a request: do not change them.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Json]
    status: Literal["unset", "ok", "error"] = "unset"
    status_message: str = ""
    kind: int = 0
    trace_state: str = ""
    events: Sequence[RawEvent] = ()
    links: Sequence[JsonObject] = ()
    resource: JsonObject
    scope: str = ""
    scope_version: str = ""
    dropped: int = 0


def as_it_came(raw: RawSpan, *, project: str) -> SpanRecord:
    """The record of a span of which nothing is understood."""
    return SpanRecord(
        trace_id=raw.trace_id, span_id=raw.span_id, parent_id=raw.parent_id or None, name=raw.name, kind="other",
        start_ns=raw.start_ns, end_ns=raw.end_ns, project=project, status=raw.status, error=raw.status_message or None,
        attributes=raw.attributes, scope=raw.scope, links=tuple(raw.links), resource=raw.resource,
        events=tuple({"name": each.name, "time_ns": each.time_ns, "attributes": each.attributes, "body": each.body}
                     for each in raw.events),
    )  # fmt: skip
