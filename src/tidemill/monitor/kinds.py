"""`kind: monitor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.difference import spec_difference
from tidemill.core.errors import Problem
from tidemill.core.extend import Files
from tidemill.core.json import JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.monitor.spec import monitor_json, read_monitor, references_in


class MonitorKind:
    """What is watched, against what, and whom it tells. Configuration outside every digest: one form an environment.

    Each run keeps the whole form that it used, so nothing is lost when it changes.
    """

    name = "monitor"
    versioned = False

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: every key with its default. Raises `Invalid` with one problem a mistake."""
        spec = read_monitor(body)
        return Parsed(spec=monitor_json(spec), references=references_in(spec))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """Nothing shows only beside what it references."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each value that changed."""
        return spec_difference(old, new).lines
