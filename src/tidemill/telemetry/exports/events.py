"""The events of a span in an export file."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.core.json import Json
from tidemill.telemetry.exports.documents import items, mapping, text_of
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawEvent


def read_events(value: Json, *, where: str) -> list[RawEvent]:
    """Events in the forms of OpenTelemetry's SDKs, of MLflow and of Phoenix. Raises `Invalid` for a time that is none."""
    made: list[RawEvent] = []
    for each in items(value):
        event = mapping(each)
        when = next((event[key] for key in ("time_unix_nano", "timestamp", "time") if event.get(key) is not None), None)
        name = text_of(event, "name")
        if not name or when is None:
            continue
        attributes = {**mapping(event.get("attributes"))}
        for key, other in event.items():
            if key in ("message", "type", "stacktrace") or key.startswith(("exception.", "exception_")):
                attributes.setdefault(key if key.startswith("exception") else f"exception.{key}", other)
        plain = {key: other for key, other in attributes.items() if not isinstance(other, Mapping) or other}
        made.append(RawEvent(name=name, time_ns=time_ns(when, where=f"{where}: the time of {name!r}"), attributes=plain))
    return made
