"""OpenTelemetry's protocol: its requests decoded into `RawSpan`, its answers, and spans written back in its form.

What an instrumentation means by its attributes is in `telemetry/dialects/`; the doors that take requests are in `serve/`.
"""
