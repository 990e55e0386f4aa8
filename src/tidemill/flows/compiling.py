"""From a bundle to an application that can run: templates parsed, references resolved, order fixed. Done once a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tidemill.core.conditions import Condition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.flows.application import Application
from tidemill.flows.ask import HISTORY, PromptWork
from tidemill.flows.find import RetrieveWork
from tidemill.flows.guard import Guard, GuardWork
from tidemill.flows.invoke import CallWork
from tidemill.flows.loop import AgentWork
from tidemill.flows.names import ancestors, dependencies, step_id, steps_in
from tidemill.flows.nest import Branch, BranchWork, ChainWork, ValueWork
from tidemill.flows.scope import Scope, runs_in_turn
from tidemill.flows.shape import declared_inputs, needed_steps
from tidemill.flows.step import Step, Work
from tidemill.flows.step_spec import action_of
from tidemill.flows.values import Values, compile_fields, compile_value, sole_path

ANSWER = "answer"
"""The one step of a model, a prompt or an agent that is run by itself."""
_SPEAKS = frozenset({"prompt", "agent"})


def compile_bundle(bundle: Bundle) -> Application:
    """Compile what the bundle's root is: a chain, an agent, a prompt or a model."""
    return _Compiler(bundle).root()


class _Compiler:
    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._chains: dict[str, Application] = {}

    def root(self) -> Application:
        root = self._bundle.root
        match root.kind:
            case "chain":
                return self.chain(root)
            case "agent":
                return self._alone(root, AgentWork(self._bundle, root, task=None, is_root=True))
            case "prompt":
                return self._alone(root, PromptWork(root, self._own_model(root), params={}, is_root=True))
            case "model" | "route":
                return self._alone(root, PromptWork(None, root, params={}, is_root=True))
            case _:
                hint = "Run a chain, an agent, a prompt or a model."
                raise Invalid(f"{root.bare} cannot be run: it is a {root.kind}", hint=hint)

    def chain(self, version: Version) -> Application:
        known = self._chains.get(version.digest)
        if known is not None:
            return known
        spec = version.spec
        steps = steps_in(spec.get("steps"))
        guards = [Guard(self._bundle.resolve(version, str(each))) for each in _list(spec.get("guardrails"))]
        inputs = declared_inputs(version)
        context_guards = tuple(each for each in guards if each.point == "context")
        graph = dependencies(steps)
        made = Application(
            name=version.bare,
            inputs=inputs,
            scope=self._scope(version, steps, where=version.bare, context_guards=context_guards),
            output=compile_value(spec.get("output")),
            needed=ancestors(needed_steps(spec), graph),
            graph=graph,
            speaker=_speaker(spec.get("output"), steps),
            input_guards=tuple(each for each in guards if each.point == "input"),
            output_guards=tuple(each for each in guards if each.point == "output"),
        )
        self._chains[version.digest] = made
        return made

    def _alone(self, version: Version, work: Work) -> Application:
        def bind(values: Values) -> dict[str, Json]:
            return {each.name: values.get(each.name) for each in inputs if values.get(each.name) is not None}

        inputs = declared_inputs(version)
        step = Step(id=ANSWER, work=work, bind=bind, action=version.kind, where=version.bare)
        guards = [Guard(self._bundle.resolve(version, str(each))) for each in _list(version.spec.get("guardrails"))]
        return Application(
            name=version.bare,
            inputs=inputs,
            scope=Scope(steps=(step,), in_turn=True),
            output=lambda values: values[ANSWER],
            needed=frozenset({ANSWER}),
            graph={ANSWER: []},
            speaker=ANSWER,
            input_guards=tuple(each for each in guards if each.point == "input"),
            output_guards=tuple(each for each in guards if each.point == "output"),
        )

    def _own_model(self, prompt: Version) -> Version:
        if "model" not in prompt.spec:
            hint = f"Add model: model/NAME to {prompt.bare}, or use it in a chain."
            raise Invalid(f"{prompt.bare} has no model", hint=hint)
        return self._bundle.resolve(prompt, str(prompt.spec["model"]))

    def _scope(self, owner: Version, steps: Sequence[JsonObject], *, where: str, context_guards: tuple[Guard, ...]) -> Scope:
        graph = dependencies(steps)
        order = _ordered(graph)
        number = {name: at for at, name in enumerate(order)}
        by_id = {step_id(each): each for each in steps}
        made = [self._step(owner, by_id[name], where=where, context_guards=context_guards) for name in order]
        for step in made:
            step.needs = tuple(number[each] for each in graph[step.id])
            step.waiting = tuple(number[name] for name in order if step.id in graph[name])
        in_turn = runs_in_turn([step.needs for step in made])
        return Scope(steps=tuple(made), in_turn=in_turn, context_guards=context_guards)

    def _step(self, owner: Version, spec: JsonObject, *, where: str, context_guards: tuple[Guard, ...]) -> Step:
        at = f'{where} step "{step_id(spec)}"'
        retries, timeout = spec.get("retries"), spec.get("timeout")
        return Step(
            id=step_id(spec),
            work=self._work(owner, spec, where=where, context_guards=context_guards),
            bind=_binding(spec),
            when=Condition(str(spec["when"])) if "when" in spec else None,
            retries=retries if isinstance(retries, int) else 0,
            timeout=timeout if isinstance(timeout, int | float) else None,
            fallbacks=tuple(
                self._step(owner, each, where=where, context_guards=context_guards) for each in steps_in(spec.get("fallback"))
            ),
            action=action_of(spec),
            where=at,
        )

    def _work(self, owner: Version, spec: JsonObject, *, where: str, context_guards: tuple[Guard, ...]) -> Work:
        action = action_of(spec)
        match action:
            case "prompt":
                return self._prompt(owner, spec)
            case "retrieve":
                return self._retrieve(owner, spec["retrieve"])
            case "branch":
                return self._branch(owner, spec, where=where, context_guards=context_guards)
            case "value":
                return ValueWork(compile_value(spec.get("value")))
            case _:
                return self._called(self._bundle.resolve(owner, str(spec[action])), spec)

    def _called(self, target: Version, spec: JsonObject) -> Work:
        match target.kind:
            case "chain":
                return ChainWork(self.chain(target))
            case "agent":
                task = spec.get("task")
                return AgentWork(self._bundle, target, task=None if task is None else str(task))
            case "guardrail":
                return GuardWork(target)
            case _:
                return CallWork(target)

    def _prompt(self, owner: Version, spec: JsonObject) -> Work:
        prompt = self._bundle.resolve(owner, str(spec["prompt"]))
        model = self._bundle.resolve(owner, str(spec["model"])) if "model" in spec else self._own_model(prompt)
        params = spec.get("params")
        return PromptWork(prompt, model, params=params if isinstance(params, Mapping) else {})

    def _retrieve(self, owner: Version, retrieve: Json) -> Work:
        assert isinstance(retrieve, Mapping)
        index = self._bundle.resolve(owner, str(retrieve["index"]))
        embed = index.spec.get("embed")
        embedder = self._bundle.resolve(index, str(embed)) if embed else None
        mode = retrieve.get("mode")
        return RetrieveWork(index, embedder=embedder, mode=None if mode is None else str(mode))

    def _branch(self, owner: Version, spec: JsonObject, *, where: str, context_guards: tuple[Guard, ...]) -> Work:
        made: list[Branch] = []
        for branch in steps_in(spec["branch"]):
            steps = steps_in(branch.get("steps"))
            scope = self._scope(owner, steps, where=where, context_guards=context_guards)
            when = Condition(str(branch["when"])) if "when" in branch else None
            made.append(Branch(when=when, scope=scope, last=step_id(steps[-1])))
        return BranchWork(made)


def _binding(spec: JsonObject) -> Callable[[Values], dict[str, Json]]:
    """The templates whose values are the step's typed inputs."""
    if "retrieve" in spec:
        retrieve = spec["retrieve"]
        assert isinstance(retrieve, Mapping)
        return compile_fields({key: retrieve[key] for key in ("query", "k", "filter") if key in retrieve})
    given = spec.get("with")
    fields: dict[str, Json] = dict(given) if isinstance(given, Mapping) else {}
    if HISTORY in spec:
        fields[HISTORY] = spec[HISTORY]
    return compile_fields(fields)


def _ordered(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """The steps so that each comes after what it needs, and otherwise as written."""
    done: list[str] = []
    left = list(graph)
    while left:
        ready = next((name for name in left if all(each in done for each in graph[name])), None)
        if ready is None:
            raise Invalid(f"the steps form a cycle: {', '.join(left)}")
        done.append(ready)
        left.remove(ready)
    return done


def _speaker(output: Json, steps: Sequence[JsonObject]) -> str | None:
    """The step whose text is the whole output."""
    path = sole_path(output)
    if path is None:
        return None
    actions = {step_id(each): action_of(each) for each in steps}
    action = actions.get(path[0]) if path else None
    if action in _SPEAKS and path[1:] in {(), ("text",)}:
        return path[0]
    if action == "branch" and path[1:] in {(), ("text",)}:
        return path[0]
    return path[0] if action == "chain" and len(path) == 1 else None


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
