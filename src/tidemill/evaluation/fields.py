"""From a sample to an application's inputs, and from its run to the fields that scorers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Sample, Version
from tidemill.flows.run import RunResult, declared_inputs, first_text_input


def inputs_of(root: Version, sample: Sample) -> JsonObject:
    """The sample's input fills the first text input, or several when it is an object; columns fill inputs of their name."""
    names = [each.name for each in declared_inputs(root)]
    filled: dict[str, Json] = {name: sample.row[name] for name in names if name in sample.row}
    if isinstance(sample.input, Mapping):
        return {**filled, **sample.input}
    first = first_text_input(root) or (names[0] if names else None)
    return filled if first is None else {**filled, first: sample.input}


def fields_of(sample: Sample, result: RunResult) -> JsonObject:
    """Every field that a scorer may declare, for this sample and its run."""
    return {
        "input": sample.input,
        "output": result.output,
        "reference": sample.reference,
        "context": sample.context,
        "gold": sample.gold,
        "metadata": sample.metadata,
        "retrieved": list(retrieved_of(result)),
        "retrieved_text": [str(each.get("text", "")) for each in _hits(result)],
    }


def retrieved_of(result: RunResult) -> Sequence[str]:
    """The ids of the documents that the first retrieve step found, best first, once for each chunk."""
    return [str(each.get("document", "")) for each in _hits(result)]


def _hits(result: RunResult) -> Sequence[JsonObject]:
    """The first step's output that is a list of chunks."""
    for step in result.steps.values():
        output = step.output
        if isinstance(output, Sequence) and not isinstance(output, str) and output and _is_hit(output[0]):
            return cast("Sequence[JsonObject]", output)
    return ()


def _is_hit(value: Json) -> bool:
    return isinstance(value, Mapping) and {"document", "text", "score"} <= value.keys()
