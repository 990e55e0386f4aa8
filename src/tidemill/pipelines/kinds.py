"""`kind: pipeline`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.difference import Difference
from tidemill.core.errors import Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.flows.step_changes import steps_difference
from tidemill.pipelines.material import pipeline_material
from tidemill.pipelines.spec import Reading, read_inputs, read_on, read_steps
from tidemill.prompts.fields import Fields, Problems

_KEYS = ("inputs", "on", "steps")


class PipelineKind:
    """Steps over the platform's use cases. Every name, condition and rule is checked here, before anything runs."""

    name = "pipeline"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `inputs`, `on`, and `steps` with `do`, `args` and all that each needs."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(_KEYS, what="a pipeline")
        inputs = read_inputs(fields)
        reading = Reading(problems=problems, inputs=tuple(inputs))
        on = read_on(fields, reading, inputs)
        steps = read_steps(fields, reading)
        problems.raise_if_any()
        spec: dict[str, Json] = {"inputs": inputs, "steps": list(steps)}
        if on:
            spec["on"] = on
        notes = tuple(reading.notes)
        return Parsed(spec=spec, references=reading.references, hermetic=reading.hermetic, notes=notes)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """Steps as they are written, and the project's own modules as files."""
        return pipeline_material(version.spec)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """What a step takes is checked when it runs, by the use case itself."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """Steps that came, went, moved or changed, and other fields."""
        return steps_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return steps_difference(old.spec, new.spec)
