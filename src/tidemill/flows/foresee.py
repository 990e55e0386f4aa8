"""What answering many inputs would take, before it is done: which steps the cache knows, and which would have to run.

A step whose inputs come from a step that must run is counted as running too, though its output may turn out to be known: such
a count is `at_most`. How often a model is asked within an agent is not known before: that count is `about`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tidemill.core.errors import TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.flows.application import Application
from tidemill.flows.ask import ONE_MODEL_CALL, PromptWork
from tidemill.flows.find import RetrieveWork
from tidemill.flows.invoke import CallWork
from tidemill.flows.loop import AgentWork
from tidemill.flows.nest import BranchWork, ChainWork
from tidemill.flows.results import NO_CALLS, Calls, RunContext
from tidemill.flows.reuse import step_key
from tidemill.flows.scope import Scope
from tidemill.flows.step import Engine, Run, Step
from tidemill.prompts.text import text_of
from tidemill.prompts.variables import check_values
from tidemill.store.cache import CachedStep

Bound: TypeAlias = Literal["exact", "at_most", "about"]
_ORDER: Final[Sequence[Bound]] = ("exact", "at_most", "about")
_Walk: TypeAlias = Generator[str, CachedStep | None, None]


def looser(one: Bound, other: Bound) -> Bound:
    """The one that promises less."""
    return one if _ORDER.index(one) >= _ORDER.index(other) else other


@dataclass(kw_only=True, slots=True)
class Foreseen:
    """One input's way: the steps that would run, by their place (`outer.inner`), and those that the cache answers."""

    runs: list[tuple[str, Calls, Version | None]] = field(default_factory=list[tuple[str, Calls, "Version | None"]])
    known: list[tuple[str, CachedStep]] = field(default_factory=list[tuple[str, CachedStep]])
    bound: Bound = "exact"

    def loosen(self, bound: Bound) -> None:
        """Promise less than before, never more."""
        self.bound = looser(self.bound, bound)


async def foresee(
    application: Application, inputs: Sequence[JsonObject], *, context: RunContext, engine: Engine
) -> Sequence[Foreseen]:
    """For each input what running it would take now. Nothing is run; few transactions for many inputs."""
    run = Run(engine=engine, context=context)
    steps = list(_all_steps(application.scope))
    variations = {id(each): await each.work.variation(run) for each in steps if each.work.digest is not None}
    seen = _Seen(variations=variations, run=run)
    found = [Foreseen() for _ in inputs]
    walks = [_begin(application, each, found[number], seen=seen) for number, each in enumerate(inputs)]
    waiting: dict[int, str] = {}
    for number, walk in enumerate(walks):
        _go_on(walk, None, number, waiting)
    while waiting:
        known = await engine.cache.get_many(context.project, list(dict.fromkeys(waiting.values())))
        asked, waiting = waiting, {}
        for number, key in asked.items():
            if key not in known and not seen.first(key):
                found[number].loosen("at_most")
            _go_on(walks[number], known.get(key), number, waiting)
    return found


@dataclass(kw_only=True, slots=True)
class _Seen:
    """What is shared by the walks: the steps' variations, and what an earlier input would already have asked for."""

    variations: Mapping[int, Sequence[Json]]
    run: Run
    asked: set[str] = field(default_factory=set[str])

    def first(self, key: str) -> bool:
        """Whether nothing before asked for it; what does so second may find it answered."""
        is_first = key not in self.asked
        self.asked.add(key)
        return is_first


@dataclass(kw_only=True, slots=True)
class _Place:
    """Where a walk is: the values so far, the steps whose output is not known, and what the place is called."""

    values: dict[str, Json]
    told: Foreseen
    seen: _Seen
    prefix: str = ""
    unknown: set[str] = field(default_factory=set[str])


def _go_on(walk: _Walk, answer: CachedStep | None, number: int, waiting: dict[int, str]) -> None:
    try:
        waiting[number] = walk.send(answer)  # the first time there is no answer yet, and None is what a generator takes
    except StopIteration:
        return


def _begin(application: Application, inputs: JsonObject, told: Foreseen, *, seen: _Seen) -> _Walk:
    context = seen.run.context
    try:
        values = check_values(application.inputs, inputs, what=application.name)
        only = application.only(context.targets)
    except TidemillError:
        return  # the run itself will say what is wrong, before it asks anything
    place = _Place(values=values, told=told, seen=seen)
    if application.input_guards or not context.reuse:
        told.loosen("at_most" if application.input_guards else "exact")
        place.unknown.add("")  # what a guardrail lets pass is not known, so no step's inputs are
    yield from _scope(application.scope, place, only=only)


def _scope(scope: Scope, place: _Place, *, only: frozenset[str] | None = None) -> _Walk:
    for step in scope.steps:
        if only is None or step.id in only:
            needs = {scope.steps[each].id for each in step.needs}
            yield from _step(step, place, blocked="" in place.unknown or bool(needs & place.unknown))
            if step.action == "retrieve" and scope.context_guards:
                place.unknown.add(step.id)


def _step(step: Step, place: _Place, *, blocked: bool) -> _Walk:
    if blocked:
        place.unknown.add(step.id)
        place.told.loosen("at_most")
        yield from _whole(step, place)
        return
    try:
        holds = step.when is None or step.when.holds(place.values)
        inputs = step.bind(place.values) if holds else {}
    except TidemillError:
        place.unknown.add(step.id)
        return
    if not holds:
        place.values[step.id] = None
    elif isinstance(step.work, ChainWork | BranchWork):
        yield from _nested(step, step.work, inputs, place)
    else:
        yield from _plain(step, inputs, place)


def _plain(step: Step, inputs: JsonObject, place: _Place) -> _Walk:
    """A step that does something itself."""
    if step.work.digest is not None and place.seen.run.context.reuse:
        known = yield step_key(step.work.digest, inputs, variation=place.seen.variations[id(step)])
        if known is not None:
            place.told.known.append((f"{place.prefix}{step.id}", known))
            place.values[step.id] = known.output
            return
    place.unknown.add(step.id)
    _count(step, inputs, place)


def _nested(step: Step, work: ChainWork | BranchWork, inputs: JsonObject, place: _Place) -> _Walk:
    """A chain within a chain, and the branch that would be taken."""
    if isinstance(work, ChainWork):
        inner = _Place(values={}, told=place.told, seen=place.seen, prefix=f"{place.prefix}{step.id}.")
        application = work.application
        try:
            inner.values = check_values(application.inputs, inputs, what=application.name)
        except TidemillError:
            place.unknown.add(step.id)
            return
        if application.input_guards:
            inner.unknown.add("")
        yield from _scope(application.scope, inner)
        if inner.unknown & application.needed or application.output_guards or "" in inner.unknown:
            place.unknown.add(step.id)
        else:
            place.values[step.id] = application.give(inner.values)
        return
    for branch in work.branches:
        try:
            taken = branch.when is None or branch.when.holds(place.values)
        except TidemillError:
            place.unknown.add(step.id)
            return
        if taken:
            inner = _Place(values=dict(place.values), told=place.told, seen=place.seen, prefix=place.prefix)
            yield from _scope(branch.scope, inner)
            if branch.last in inner.unknown:
                place.unknown.add(step.id)
            else:
                place.values[step.id] = inner.values.get(branch.last)
            return
    place.values[step.id] = None


def _whole(step: Step, place: _Place) -> _Walk:
    """All that a step may do, where its inputs are not known: of its branches the one that does most."""
    if isinstance(step.work, ChainWork):
        inner = _Place(values={}, told=place.told, seen=place.seen, prefix=f"{place.prefix}{step.id}.", unknown={""})
        yield from _scope(step.work.application.scope, inner)
    elif isinstance(step.work, BranchWork):
        ways: list[Foreseen] = []
        for branch in step.work.branches:
            told = Foreseen(bound="at_most")
            yield from _scope(branch.scope, _Place(values={}, told=told, seen=place.seen, prefix=place.prefix, unknown={""}))
            ways.append(told)
        most = max(ways, key=lambda each: len(each.runs), default=Foreseen())
        place.told.runs += most.runs
    else:
        _count(step, None, place)


def _count(step: Step, inputs: JsonObject | None, place: _Place) -> None:
    """Note that the step would run. `inputs` are None where they are not known."""
    name, work = f"{place.prefix}{step.id}", step.work
    if isinstance(work, PromptWork):
        place.told.runs.append((name, ONE_MODEL_CALL, work.model))
    elif isinstance(work, AgentWork):
        place.told.loosen("about")
        place.told.runs.append((name, ONE_MODEL_CALL, work.model))
    elif isinstance(work, RetrieveWork):
        place.told.runs.append((name, Calls(retrieve=1, embed=_embeds(work, inputs, place)), None))
    else:
        place.told.runs.append((name, Calls(tool=1) if isinstance(work, CallWork) else NO_CALLS, None))


def _embeds(work: RetrieveWork, inputs: JsonObject | None, place: _Place) -> int:
    """Whether the query's vector would be asked for: it may be remembered, or another input may ask for it first."""
    if work.embedder is None:
        return 0
    if inputs is None:
        return 1
    context, query = place.seen.run.context, text_of(inputs.get("query"))
    indexes = place.seen.run.engine.indexes
    if indexes.remembers(query, embedder=work.embedder, project=context.project, environment=context.environment):
        return 0
    if not place.seen.first(f"query {work.embedder.digest} {query}"):
        place.told.loosen("at_most")
    return 1


def _all_steps(scope: Scope) -> Iterator[Step]:
    for step in scope.steps:
        yield step
        if isinstance(step.work, ChainWork):
            yield from _all_steps(step.work.application.scope)
        elif isinstance(step.work, BranchWork):
            for branch in step.work.branches:
                yield from _all_steps(branch.scope)
