"""Answering many inputs from the step cache at once, as a repeated evaluation does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.core.errors import TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.flows.application import Application
from tidemill.flows.results import RunContext, RunResult, StepResult
from tidemill.flows.reuse import step_key
from tidemill.flows.step import Engine, Run, Step, reused_result
from tidemill.prompts.variables import check_values
from tidemill.store.cache import CachedStep


@dataclass(slots=True)
class _Walk:
    """One input's way through the steps; `wanted` is the key it waits for."""

    run: Run
    values: dict[str, Json]
    at: int = 0
    wanted: str | None = None
    lost: bool = False


async def recall(
    application: Application, inputs: Sequence[JsonObject], *, context: RunContext, engine: Engine
) -> Sequence[RunResult | None]:
    """For each input the result, or None when a step of it is not known or may not be re-used."""
    only = application.only(context.targets)
    steps = [each for each in application.scope.steps if only is None or each.id in only]
    guards = application.input_guards or application.output_guards or application.scope.context_guards
    if not context.reuse or guards or any(each.work.digest is None for each in steps):
        return [None] * len(inputs)
    run = Run(engine=engine, context=context)
    variations = {each.id: await each.work.variation(run) for each in steps}
    walks = [_begin(application, each, context=context, engine=engine) for each in inputs]
    while True:
        for walk in walks:
            if not walk.lost and walk.wanted is None:
                _advance(walk, steps, variations)
        waiting = [walk for walk in walks if walk.wanted is not None]
        if not waiting:
            break
        keys = list({walk.wanted for walk in waiting if walk.wanted is not None})
        known = await engine.cache.get_many(context.project, keys)
        for walk in waiting:
            _receive(walk, steps, known)
    complete = only is None or application.needed <= only
    return [None if walk.lost else _result(application, walk, complete=complete) for walk in walks]


def _begin(application: Application, inputs: JsonObject, *, context: RunContext, engine: Engine) -> _Walk:
    run = Run(engine=engine, context=context)
    try:
        values = check_values(application.inputs, inputs, what=application.name)
    except TidemillError:
        # The run itself will say what is wrong.
        return _Walk(run=run, values={}, lost=True)
    return _Walk(run=run, values=values)


def _advance(walk: _Walk, steps: Sequence[Step], variations: Mapping[str, Sequence[Json]]) -> None:
    """Go on to the next step that needs a key."""
    while walk.at < len(steps):
        step = steps[walk.at]
        try:
            holds = step.when is None or step.when.holds(walk.values)
        except TidemillError:
            walk.lost = True
            return
        if holds:
            assert step.work.digest is not None
            walk.wanted = step_key(step.work.digest, step.bind(walk.values), variation=variations[step.id])
            return
        walk.run.note(step.id, StepResult(output=None, skipped=True))
        walk.values[step.id] = None
        walk.at += 1


def _receive(walk: _Walk, steps: Sequence[Step], known: Mapping[str, CachedStep]) -> None:
    assert walk.wanted is not None
    found = known.get(walk.wanted)
    walk.wanted = None
    if found is None:
        walk.lost = True
        return
    step = steps[walk.at]
    result = reused_result(found)
    walk.run.note(step.id, result)
    walk.values[step.id] = result.output
    walk.at += 1


def _result(application: Application, walk: _Walk, *, complete: bool) -> RunResult:
    run = walk.run
    return RunResult(
        output=application.give(walk.values) if complete else None,
        steps=run.results,
        reused=run.reused,
        saved_usage=run.saved_usage,
        saved_cost=run.saved_cost,
    )
