"""`kind: telemetry`: what a project keeps of its spans, in which form, and for how long. Its name is `default`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.bodies import parse_body
from tidemill.core.difference import Difference, spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.telemetry.rules.compiling import mistake_of
from tidemill.telemetry.rules.spec import TelemetrySpec, canonical

NAME: Final = "default"
"""The one document of this kind that a project's spans follow."""


class TelemetryKind:
    """Redaction, capture, sampling, retention and prices of a project; its versions say since when each held."""

    name = "telemetry"
    versioned = True
    only_name = NAME

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: what it says and nothing else, capture always by its parts."""
        spec = parse_body(TelemetrySpec, body, what="telemetry")
        problems = [
            Problem(message=error.message, where=f"redact.{place}.{error.where or 'detector'}", hint=error.hint)
            for place, rule in enumerate(spec.redact)
            if rule.detector is not None and (error := mistake_of(rule)) is not None
        ]
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(spec=canonical(spec))

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """The canonical form is a body."""
        return Material(body=version.spec)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """It references nothing: an endpoint that it names may come into being later."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each rule and value that changed."""
        return _difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return _difference(old.spec, new.spec)


def _difference(old: JsonObject, new: JsonObject) -> Difference:
    return spec_difference(old, new)
