"""Which step uses what: dependencies, cycles, and names that nothing provides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tidemill.core.conditions import Condition
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import nearest
from tidemill.flows.step_spec import action_of
from tidemill.flows.values import names_in
from tidemill.prompts.fields import Problems, place
from tidemill.prompts.mustache import Path

Use = tuple[str, Path, bool]
"""The place, the path used there, and whether it is inside a section (where it may name a field of the section's value)."""

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "prompt": frozenset({"text", "tool_calls", "data"}),
    "agent": frozenset({"text", "tool_calls", "steps", "stopped", "data"}),
    "guardrail": frozenset({"text", "value", "action", "findings", "passed"}),
}
"""What a step's output has; other steps give what they give."""


def steps_in(value: Json) -> Sequence[JsonObject]:
    """The steps of a canonical list."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [each for each in value if isinstance(each, Mapping)]


def step_id(step: JsonObject) -> str:
    """A canonical step's id."""
    return str(step["id"])


def uses_of(step: JsonObject, *, where: str) -> Iterator[Use]:
    """Every name that a step needs from outside itself."""
    for key in ("with", "history", "params"):
        if key in step:
            yield from names_in(step[key], where=place(where, key))
    retrieve = step.get("retrieve")
    if isinstance(retrieve, Mapping):
        for key in ("query", "k", "filter"):
            yield from names_in(retrieve.get(key), where=f"{where}.retrieve.{key}")
    if "value" in step:
        yield from names_in(step["value"], where=place(where, "value"))
    yield from _condition_uses(step.get("when"), where=place(where, "when"))
    fallbacks = steps_in(step.get("fallback"))
    for number, each in enumerate(fallbacks):
        at = f"{where}.fallback.{number}" if len(fallbacks) > 1 else place(where, "fallback")
        yield from uses_of(each, where=at)
    for number, branch in enumerate(steps_in(step.get("branch"))):
        at = f"{where}.branch.{number}"
        yield from _condition_uses(branch.get("when"), where=place(at, "when"))
        inner = steps_in(branch.get("steps"))
        own = {step_id(each) for each in inner}
        for index, each in enumerate(inner):
            yield from (use for use in uses_of(each, where=f"{at}.steps.{index}") if use[1][0] not in own)


def _condition_uses(text: Json, *, where: str) -> Iterator[Use]:
    if isinstance(text, str):
        for name in sorted(Condition(text).names):
            yield where, (name,), False


def dependencies(steps: Sequence[JsonObject]) -> dict[str, list[str]]:
    """Each step's id and those of the steps of the same list that it needs, in the order written."""
    order = [step_id(each) for each in steps]
    found: dict[str, list[str]] = {}
    for step in steps:
        used = {path[0] for _, path, _ in uses_of(step, where="")}
        found[step_id(step)] = [each for each in order if each in used]
    return found


def ancestors(needed: frozenset[str], graph: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The steps named and all that they need, direct or not."""
    found: set[str] = set()
    left = [each for each in needed if each in graph]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(graph[name])
    return frozenset(found)


def find_cycle(graph: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Steps that need each other in a ring, the first again at the end; None when there is no ring."""
    state: dict[str, int] = {}

    def visit(name: str, path: list[str]) -> list[str] | None:
        state[name] = 1
        for each in graph[name]:
            if state.get(each) == 1:
                return [*path[path.index(each) :], each]
            if each not in state and (found := visit(each, [*path, each])):
                return found
        state[name] = 2
        return None

    return next((ring for name in graph if name not in state and (ring := visit(name, [name]))), None)


class Scope:
    """The names that steps of one list can use: inputs and other steps, also those around a branch."""

    def __init__(self, inputs: Sequence[str], *, problems: Problems) -> None:
        self._inputs = tuple(inputs)
        self._actions: dict[str, str] = {}
        self._problems = problems

    def check_steps(self, steps: Sequence[JsonObject], *, where: str) -> None:
        """Note every cycle and every name that nothing provides, in these steps and in their branches."""
        inner = Scope(self._inputs, problems=self._problems)
        inner._actions = self._actions | {step_id(each): action_of(each) for each in steps}
        for number, step in enumerate(steps):
            if step_id(step) in self._inputs:
                name = step_id(step)
                hint = "Rename one of them, so that a template can tell them apart."
                self._problems.add(f'"{name}" is an input and a step', where=f"{where}.{number}.id", hint=hint)
            inner._check_step(step, where=place(where, number))
        ring = find_cycle(dependencies(steps))
        if ring is not None and not set(ring) & set(self._inputs):
            at = next((number for number, each in enumerate(steps) if step_id(each) == ring[0]), 0)
            hint = "A step can use only what is finished before it begins."
            self._problems.add(f"the steps form a cycle: {' -> '.join(ring)}", where=place(where, at), hint=hint)

    def check_output(self, output: Json, steps: Sequence[JsonObject]) -> None:
        """Note every name in the chain's output that nothing provides."""
        inner = Scope(self._inputs, problems=self._problems)
        inner._actions = {step_id(each): action_of(each) for each in steps}
        for use in names_in(output, where="output"):
            inner._check_use(use, who="the output", step=None)

    def _check_step(self, step: JsonObject, *, where: str) -> None:
        plain = {key: value for key, value in step.items() if key != "branch"}
        for use in uses_of(plain, where=where):
            self._check_use(use, who=f'step "{step_id(step)}"', step=step)
        for number, branch in enumerate(steps_in(step.get("branch"))):
            at = f"{where}.branch.{number}"
            for use in _condition_uses(branch.get("when"), where=place(at, "when")):
                self._check_use(use, who=f'step "{step_id(step)}"', step=step)
            self.check_steps(steps_in(branch.get("steps")), where=place(at, "steps"))

    def _check_use(self, use: Use, *, who: str, step: JsonObject | None) -> None:
        where, path, inside = use
        written = f"{{{{{'.'.join(path)}}}}}" if not where.endswith("when") else f'"{path[0]}"'
        known = {*self._inputs, *self._actions}
        if path[0] not in known:
            if not inside:
                hint = self._hint(path[0], where=where, step=step)
                self._problems.add(f"{who} uses {written}, which nothing provides", where=where, hint=hint)
            return
        fields = FIELDS.get(self._actions.get(path[0], ""))
        if fields is not None and len(path) > 1 and path[1] not in fields:
            near = nearest(path[1], fields)
            start = f"did you mean {{{{{path[0]}.{near}}}}}?  " if near else ""
            message = f'{who} uses {written}, but step "{path[0]}" gives no {path[1]}'
            self._problems.add(message, where=where, hint=f"{start}It gives: {', '.join(sorted(fields))}")

    def _hint(self, name: str, *, where: str, step: JsonObject | None) -> str:
        own = None if step is None else step_id(step)
        others = [each for each in self._actions if each != own]
        listed = f"Inputs here: {', '.join([*self._inputs, *others]) or 'none'}"
        near = nearest(name, [*self._inputs, *others])
        if near is not None:
            origin = "an input" if near in self._inputs else f'from step "{near}"'
            return f"did you mean {{{{{near}}}}}, {origin}?  {listed}"
        given = where.rpartition(".")[2]
        searches = [each for each in others if self._actions[each] == "retrieve"]
        if nearest(name, [given, "context", "passages", "documents"]) and len(searches) == 1:
            return f'did you mean {{{{{searches[0]}}}}}, the {given} from step "{searches[0]}"?  {listed}'
        return listed
