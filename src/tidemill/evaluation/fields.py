"""From a sample to an application's inputs, and from its run to the fields that scorers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Sample, Version
from tidemill.flows.run import RunResult, declared_inputs, first_text_input, retrieve_steps


def filling(root: Version) -> Callable[[Sample], JsonObject]:
    """How a sample fills an application's inputs.

    Its input fills the first text input, or several when it is an object; a column fills the input of its name.
    """
    names = [each.name for each in declared_inputs(root)]
    first = first_text_input(root) or (names[0] if names else None)

    def fill(sample: Sample) -> JsonObject:
        filled: dict[str, Json] = {name: sample.row[name] for name in names if name in sample.row}
        if isinstance(sample.input, Mapping):
            filled.update(sample.input)
        elif first is not None:
            filled[first] = sample.input
        return filled

    return fill


def fields_of(sample: Sample, result: RunResult, *, step: str | None = None) -> JsonObject:
    """Every field that a scorer may declare, for this sample and its run.

    `step` is the retrieve step that is scored. `retrieved` is None, and not empty, where nothing was there to retrieve.
    """
    hits = _hits(result, step)
    return {
        "input": sample.input,
        "output": result.output,
        "reference": sample.reference,
        "context": sample.context,
        "gold": sample.gold,
        "metadata": sample.metadata,
        "retrieved": None if hits is None else [str(each.get("document", "")) for each in hits],
        "retrieved_text": [str(each.get("text", "")) for each in hits or ()],
    }


def retrieve_step(root: Version) -> str | None:
    """The retrieve step that scorers of retrieval read: the first of a chain; None where there is none in its own steps."""
    return next(iter(retrieve_steps(root.spec)), None) if root.kind == "chain" else None


def _hits(result: RunResult, step: str | None) -> Sequence[JsonObject] | None:
    """What the step found; without a step, the first output that is a list of chunks, as of a chain within a chain."""
    if step is not None and step in result.steps:
        return _as_hits(result.steps[step].output) or ()
    found = [hits for each in result.steps.values() if (hits := _as_hits(each.output)) is not None]
    return next((hits for hits in found if hits), found[0] if found else None)


def _as_hits(output: Json) -> Sequence[JsonObject] | None:
    if not isinstance(output, Sequence) or isinstance(output, str):
        return None
    return cast("Sequence[JsonObject]", output) if all(_is_hit(each) for each in output) else None


def _is_hit(value: Json) -> bool:
    return isinstance(value, Mapping) and {"document", "text", "score"} <= value.keys()
