"""A span as it was sent, before anybody asked what its attributes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.core.json import Json, JsonObject


@dataclass(kw_only=True, slots=True)
class RawEvent:
    """Something that happened within a span, or a log record that belongs to one: its name, when, and what was said."""

    name: str
    time_ns: int
    attributes: dict[str, Json]
    body: Json = None


@dataclass(kw_only=True, slots=True)
class RawSpan:
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
