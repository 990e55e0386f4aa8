"""Tracing of users' own programs: the decorator, who the work is for, the trace carried on, and the sending of spans.

Only OpenTelemetry's API is imported here; `connect` needs the extra `tracing`. Spans of the platform's own work are made by
`telemetry/recorder.py`.
"""

from tidemill.telemetry.instrument.about import Session as session  # noqa: N813  (used as a function)
from tidemill.telemetry.instrument.connecting import connect
from tidemill.telemetry.instrument.tracing import trace

__all__ = ["connect", "session", "trace"]
