"""Traces out of other platforms' export files, one file a format, as the spans that their own instrumentation would have sent.

A format says whether a file is its own and turns its records into `RawSpan`, and what was said of them into scores. What the
attributes mean is left to `telemetry/dialects/`. OpenTelemetry's own file form (OTLP as JSON lines) is `telemetry/otlp/`'s.
"""

from tidemill.telemetry.exports.reading import FORMATS, read

__all__ = ["FORMATS", "read"]
