"""What an application's spec says of itself, without compiling it: its inputs, and which steps matter for what."""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.flows.agent_kind import INPUT
from tidemill.flows.names import ancestors, dependencies, step_id, steps_in
from tidemill.flows.step_spec import action_of
from tidemill.flows.values import names_in
from tidemill.prompts.variables import Variable, from_spec


def declared_inputs(root: Version) -> tuple[Variable, ...]:
    """What a chain, an agent, a prompt or a model takes, in the order declared."""
    match root.kind:
        case "prompt":
            return from_spec(root.spec.get("variables"))
        case "model" | "route":
            return (Variable(name=INPUT),)
        case _:
            return from_spec(root.spec.get("inputs"))


def first_text_input(root: Version) -> str | None:
    """The input that the last message of a user fills: the first that takes text."""
    return next((each.name for each in declared_inputs(root) if each.type in {"string", "any"}), None)


def needed_steps(spec: JsonObject) -> frozenset[str]:
    """The steps of a chain that its output names."""
    ids = {step_id(each) for each in steps_in(spec.get("steps"))}
    return frozenset(path[0] for _, path, _ in names_in(spec.get("output"), where="output") if path[0] in ids)


def outputs_of(spec: JsonObject) -> frozenset[str]:
    """The steps of a chain that its output needs, direct or not."""
    return ancestors(needed_steps(spec), dependencies(steps_in(spec.get("steps"))))


def retrieve_steps(spec: JsonObject) -> tuple[str, ...]:
    """The retrieve steps of a chain, in the order written."""
    return tuple(step_id(each) for each in steps_in(spec.get("steps")) if action_of(each) == "retrieve")


def steps_reading(spec: JsonObject, reads: Iterable[str]) -> frozenset[str]:
    """The steps of a chain that must run so that scorers can read these fields.

    `output` needs the steps of the output; `retrieved`, `retrieved_text` and `context` the retrieve steps; the rest comes from
    the sample. What these steps need runs with them.
    """
    wanted = set(reads)
    found: set[str] = set()
    if "output" in wanted:
        found |= outputs_of(spec)
    if wanted & {"retrieved", "retrieved_text", "context"}:
        found |= set(retrieve_steps(spec)[:1])
    return frozenset(found)
