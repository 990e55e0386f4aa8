"""Messages that came as events of a span: OpenTelemetry's first generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.messages import read_message
from tidemill.telemetry.dialects.parts import Part, merged
from tidemill.telemetry.dialects.values import Reader, is_object, unpacked
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan

ASKED: Final = frozenset({"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"})
ANSWERED: Final = frozenset({"gen_ai.choice"})


def event_messages(events: Sequence[RawEvent], _span: RawSpan) -> list[Json] | None:
    """An event a message; the attributes and the body of each are read as one object."""
    made: list[Json] = []
    for event in events:
        content = unpacked(event.body)
        said: Part = {"event.name": event.name, **event.attributes}
        for name in ("message", "tool_calls"):
            if name in said:
                said[name] = unpacked(said[name])
        if is_object(content):
            said = merged(said, content)
        elif content is not None:
            said = merged(said, {"content": content})
        message = read_message(said)
        if message is None:
            return None
        made.append(message)
    return made or None


class EventAttribute:
    """A reader of events: the last one's attribute (or the value in its body) of this name."""

    __slots__ = ("_key", "_reader")

    def __init__(self, key: str, reader: Reader) -> None:
        self._key = key
        self._reader = reader

    def __call__(self, events: Sequence[RawEvent], _span: RawSpan) -> Json:
        """What the reader makes of it; None without one."""
        for event in reversed(events):
            value = event.attributes.get(self._key)
            if value is None and is_object(event.body):
                value = event.body.get(self._key)
            if value is not None:
                made = self._reader(value)
                return list(made) if isinstance(made, tuple) else made
        return None


def since_start(events: Sequence[RawEvent], span: RawSpan) -> int | None:
    """Nanoseconds from the span's start to the first of the events."""
    waited = min(each.time_ns for each in events) - span.start_ns
    return waited if waited >= 0 else None
