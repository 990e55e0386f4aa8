"""Traces: the recorder that makes spans, the spool that keeps them safe, and the store that lists, shows and searches them.

What a model call costs is in `pricing/`; what a trace looks like on a screen is in `cli/` and `studio/`.
"""

from tidemill.telemetry.recorder import Recorder, Span, null_recorder

__all__ = ["Recorder", "Span", "null_recorder"]
