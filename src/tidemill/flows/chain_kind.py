"""`kind: chain`: a graph of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.core.difference import Difference
from tidemill.core.errors import Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.suggest import nearest
from tidemill.flows.material import chain_body
from tidemill.flows.names import Scope, step_id, steps_in
from tidemill.flows.step_changes import steps_difference
from tidemill.flows.step_spec import Reading, action_of, read_steps, read_template
from tidemill.prompts.fields import Fields, Problems, checked_ref, place
from tidemill.prompts.variables import Variable, from_spec, parse_variables

_KEYS = ("inputs", "steps", "output", "guardrails")


class ChainKind:
    """Steps, wired by the names that their templates use. Every name is checked here, before anything runs."""

    name = "chain"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `inputs` as a list, `steps`, `output`, `guardrails`."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(_KEYS, what="a chain")
        inputs = parse_variables(body.get("inputs"), where="inputs", problems=problems)
        reading = Reading(problems=problems)
        steps: list[JsonObject] = []
        if fields.has("steps"):
            steps = read_steps(body["steps"], where="steps", reading=reading)
        else:
            fields.missing("steps", hint="Write steps: [{id: answer, prompt: prompt/NAME, model: model/NAME}].")
        guardrails = _read_guardrails(fields, reading)
        output = read_template(body.get("output"), where="output", problems=problems)
        if steps and reading.complete:
            scope = Scope([each.name for each in inputs], problems=problems)
            scope.check_steps(steps, where="steps")
            scope.check_output(output, steps)
        problems.raise_if_any()
        spec: dict[str, Json] = {"inputs": [each.as_json() for each in inputs], "steps": list(steps)}
        spec["output"] = _default_output(steps[-1]) if output is None else output
        if guardrails:
            spec["guardrails"] = list(guardrails)
        return Parsed(spec=spec, references=reading.references)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """Inputs by name, and steps as they are written."""
        return Material(body=chain_body(version.spec))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Values that a prompt, chain, function or tool needs and a step does not give, and those that it does not know."""
        problems = Problems()
        for where, step in _all_steps(spec.get("steps"), where="steps"):
            _check_step(step, where=where, resolved=resolved, problems=problems)
        return problems.found

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """Steps that came, went, moved or changed, and other fields."""
        return steps_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return steps_difference(old.spec, new.spec)


def _read_guardrails(fields: Fields, reading: Reading) -> list[str]:
    found: list[str] = []
    for number, each in enumerate(fields.list("guardrails") or ()):
        at = place("guardrails", number)
        ref = checked_ref(str(each), kind="guardrail", where=at, problems=fields.problems)
        if ref is not None:
            reading.references[at] = ref
            found.append(ref)
    return found


def _default_output(last: JsonObject) -> str:
    return f"{{{{{step_id(last)}.text}}}}" if action_of(last) in {"prompt", "agent"} else f"{{{{{step_id(last)}}}}}"


def _all_steps(steps: Json, *, where: str) -> Iterator[tuple[str, JsonObject]]:
    """Every step with its place: those of branches too, and what stands in for a step that failed."""
    for number, step in enumerate(steps_in(steps)):
        at = place(where, number)
        yield at, step
        fallbacks = steps_in(step.get("fallback"))
        for index, each in enumerate(fallbacks):
            yield (f"{at}.fallback.{index}" if len(fallbacks) > 1 else f"{at}.fallback"), each
        for index, branch in enumerate(steps_in(step.get("branch"))):
            yield from _all_steps(branch.get("steps"), where=f"{at}.branch.{index}.steps")


def _check_step(step: JsonObject, *, where: str, resolved: Mapping[str, Version], problems: Problems) -> None:
    action = action_of(step)
    if action in {"branch", "value"}:
        return
    if action == "retrieve":
        _check_retrieve(step, where=where, resolved=resolved, problems=problems)
        return
    target = resolved.get(str(step[action]))
    if target is None:
        return
    if action == "prompt" and "model" not in step and "model" not in target.spec:
        hint = "Add model: model/NAME to the step, or to the prompt."
        problems.add(f'step "{step_id(step)}" has no model', where=where, hint=hint)
    if action == "agent":
        _check_task(step, target, where=where, problems=problems)
    wanted = _wanted(action, target)
    if wanted is not None:
        given = step.get("with")
        names = tuple(given) if isinstance(given, Mapping) else ()
        _check_given(step, names, wanted, target=target, where=where, problems=problems)


def _check_retrieve(step: JsonObject, *, where: str, resolved: Mapping[str, Version], problems: Problems) -> None:
    retrieve = step["retrieve"]
    if not isinstance(retrieve, Mapping):
        return
    index = resolved.get(str(retrieve.get("index")))
    if index is not None and retrieve.get("mode") in {"vector", "hybrid"} and not index.spec.get("embed"):
        hint = "Write mode: fulltext, or name an embedder in the index: embed: embedder/NAME."
        message = f'step "{step_id(step)}" searches by {retrieve["mode"]}, but {index.bare} has no embedder'
        problems.add(message, where=f"{where}.retrieve.mode", hint=hint)


def _check_task(step: JsonObject, agent: Version, *, where: str, problems: Problems) -> None:
    tasks = agent.spec.get("tasks")
    known = list(tasks) if isinstance(tasks, Mapping) else []
    task = step.get("task")
    if (task is not None and task not in known) or (task is None and len(known) > 1):
        hint = f"Known: {', '.join(known)}." if known else "It has none: leave task out."
        what = f"{agent.bare} has no task {task!r}" if task is not None else f"{agent.bare} has several tasks; say which"
        problems.add(what, where=place(where, "task") if task is not None else where, hint=hint)


def _wanted(action: str, target: Version) -> Sequence[Variable] | None:
    """The names that a target takes; None when it takes any."""
    if action == "prompt":
        return from_spec(target.spec.get("variables"))
    if action in {"chain", "agent"}:
        return from_spec(target.spec.get("inputs"))
    if action == "guardrail":
        return (Variable(name="text"),)
    schema = target.spec.get("parameters")
    if not isinstance(schema, Mapping) or schema.get("additionalProperties") is not False:
        return None
    properties, required = schema.get("properties"), schema.get("required")
    needed = set(required) if isinstance(required, Sequence) else set[Json]()
    return [Variable(name=name, required=name in needed) for name in properties] if isinstance(properties, Mapping) else None


def _check_given(
    step: JsonObject,
    given: Sequence[str],
    wanted: Sequence[Variable],
    *,
    target: Version,
    where: str,
    problems: Problems,
) -> None:
    names = [each.name for each in wanted]
    missing = [each.name for each in wanted if each.required and each.name not in given]
    for name in given:
        if name in names:
            continue
        near = nearest(name, names)
        start = f"did you mean {near}?  " if near else ""
        hint = f"{start}It takes: {', '.join(names) or 'nothing'}"
        message = f'step "{step_id(step)}" gives {name}, which {target.bare} does not take'
        problems.add(message, where=f"{where}.with.{name}", hint=hint)
        if near in missing:
            missing.remove(near)
    for name in missing:
        at = place(where, "with") if given else where
        hint = f'Add {name} to the step\'s with, as in with: {{{name}: "{{{{…}}}}"}}.'
        problems.add(f'step "{step_id(step)}" does not give {name}, which {target.bare} needs', where=at, hint=hint)
