"""A compiled step, and running one: its condition, the cache, retries, time limit, fallback and span."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import anyio

from tidemill.core.chat import ChatDelta, FinishReason, Usage
from tidemill.core.clock import Clock
from tidemill.core.conditions import Condition
from tidemill.core.errors import StorageFull, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind
from tidemill.data.index import Indexes
from tidemill.flows.results import NO_CALLS, NO_USAGE, Blocked, Calls, RunContext, StepResult, add_cost
from tidemill.flows.reuse import StepCache, step_key
from tidemill.flows.values import Values
from tidemill.models.service import Models
from tidemill.store.cache import CachedStep
from tidemill.telemetry import Span, genai

Emit: TypeAlias = Callable[[ChatDelta], Awaitable[None]]
_LONGEST_WAIT: Final = 30.0
FALLBACK: Final = "tidemill.fallback"
ATTEMPT: Final = "tidemill.step_attempts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The parts that steps are made of."""

    models: Models
    indexes: Indexes
    clock: Clock
    cache: StepCache


@dataclass(kw_only=True, slots=True)
class Run:
    """One run while it goes on: what it may use, what it has spent, and what is to be kept."""

    engine: Engine
    context: RunContext
    emit: Emit | None = None
    emitted: bool = False
    results: dict[str, StepResult] = field(default_factory=dict[str, StepResult])
    usage: Usage = NO_USAGE
    cost: float | None = 0.0
    calls: Calls = NO_CALLS
    reused: Calls = NO_CALLS
    saved_usage: Usage = NO_USAGE
    saved_cost: float | None = 0.0
    finish_reason: FinishReason = "stop"
    to_keep: dict[str, CachedStep] = field(default_factory=dict[str, CachedStep])

    def note(self, name: str, result: StepResult) -> None:
        """Add a finished step's result and what it took."""
        self.results[name] = result
        if result.reused:
            self.reused += result.calls
            self.saved_usage += result.usage
            self.saved_cost = add_cost(self.saved_cost, result.cost)
        elif result.calls is not NO_CALLS:
            self.calls += result.calls
            self.usage += result.usage
            self.cost = add_cost(self.cost, result.cost)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step's work gave. Steps inside it, as in a branch, have noted their own usage and calls."""

    value: Json
    usage: Usage = NO_USAGE
    cost: float | None = 0.0
    calls: Calls = NO_CALLS
    finish_reason: FinishReason | None = None
    warm: bool = False


@dataclass(kw_only=True, slots=True)
class Call:
    """One execution of a step's work. `name` is the step's, with those around it: `outer.inner`."""

    run: Run
    span: Span
    name: str
    values: Values
    speaks: bool = False

    @property
    def streams(self) -> bool:
        """Whether its text is the run's answer and someone listens."""
        return self.speaks and self.run.emit is not None

    @property
    def emitted(self) -> bool:
        """Whether someone has heard a part of its text, so that it cannot begin again."""
        return self.speaks and self.run.emitted

    async def say(self, delta: ChatDelta) -> None:
        """Pass a piece of the answer on to who is listening."""
        if self.speaks and self.run.emit is not None:
            self.run.emitted = True
            await self.run.emit(delta)


class Work(Protocol):
    """What a step does. `digest` covers all that its output depends on besides its inputs; None: it is never re-used."""

    span_kind: SpanKind
    digest: str | None

    async def variation(self, run: Run) -> Sequence[Json]:
        """What else tells its outputs apart, as a model's replicate and epoch."""
        ...

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """Do it once."""
        ...


@dataclass(kw_only=True, slots=True)
class Step:
    """A step, compiled: its inputs' templates, its work, and who waits for it (numbers in its scope)."""

    id: str
    work: Work
    bind: Callable[[Values], dict[str, Json]]
    when: Condition | None = None
    retries: int = 0
    timeout: float | None = None
    fallbacks: tuple[Step, ...] = ()
    needs: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    action: str = ""
    where: str = ""


async def run_step(step: Step, values: Values, *, run: Run, parent: Span, prefix: str, speaks: bool) -> StepResult:
    """Run a step, unless its condition says no or its output is known. Errors carry the step's place."""
    name = f"{prefix}{step.id}"
    try:
        if step.when is not None and not step.when.holds(values):
            result = StepResult(output=None, skipped=True)
        else:
            result = await _run_or_reuse(step, values, run=run, parent=parent, name=name, speaks=speaks)
    except TidemillError as error:
        error.where = error.where or step.where
        raise
    run.note(name, result)
    return result


async def _run_or_reuse(step: Step, values: Values, *, run: Run, parent: Span, name: str, speaks: bool) -> StepResult:
    inputs = step.bind(values)
    key: str | None = None
    if run.context.reuse and step.work.digest is not None:
        key = step_key(step.work.digest, inputs, variation=await step.work.variation(run))
        known = await run.engine.cache.get(run.context.project, key)
        if known is not None:
            if speaks and run.emit is not None:
                await _say_again(known, run.emit)
            return _reuse(step, known, inputs, parent=parent, name=name)
    clock = run.engine.clock
    started = clock.monotonic()
    span = parent.child(step.id, kind=step.work.span_kind, input=inputs, step=name)
    with span:
        call = Call(run=run, span=span, name=name, values=values, speaks=speaks)
        outcome, first_choice = await _attempt(step, inputs, call)
        span.set(output=outcome.value)
    latency_ms = (clock.monotonic() - started) * 1000
    if speaks and outcome.finish_reason is not None:
        run.finish_reason = outcome.finish_reason
    result = StepResult(
        output=outcome.value, warm=outcome.warm, latency_ms=latency_ms, usage=outcome.usage, cost=outcome.cost,
        calls=outcome.calls,
    )  # fmt: skip
    if key is not None and first_choice:
        run.to_keep[key] = _cached(result, created_ns=run.engine.cache.now_ns())
    return result


async def _say_again(known: CachedStep, emit: Emit) -> None:
    if isinstance(known.output, Mapping) and known.output.get("text"):
        await emit(ChatDelta(text=str(known.output["text"])))


def _reuse(step: Step, known: CachedStep, inputs: JsonObject, *, parent: Span, name: str) -> StepResult:
    attributes: dict[str, Json] = {genai.CACHED: True}
    searched = getattr(step.work, "index_digest", None)
    if isinstance(searched, str):
        attributes[genai.INDEX] = searched
    with parent.child(step.id, kind=step.work.span_kind, input=inputs, step=name, attributes=attributes) as span:
        span.set(output=known.output)
    return reused_result(known)


def reused_result(known: CachedStep) -> StepResult:
    """A cached output as a step's result."""
    extra: JsonObject = known.extra if isinstance(known.extra, Mapping) else {}
    calls = Calls(**{name: count for name, count in extra.items() if isinstance(count, int)})
    return StepResult(
        output=known.output,
        reused=True,
        latency_ms=known.latency_ms,
        usage=known.usage,
        cost=known.cost,
        calls=calls,
    )


def _cached(result: StepResult, *, created_ns: int) -> CachedStep:
    calls = result.calls
    extra: dict[str, Json] = {"model": calls.model, "embed": calls.embed, "retrieve": calls.retrieve, "tool": calls.tool}
    return CachedStep(
        output=result.output,
        created_ns=created_ns,
        usage=result.usage,
        cost=result.cost,
        latency_ms=result.latency_ms,
        extra=extra,
    )


async def _attempt(step: Step, inputs: JsonObject, call: Call) -> tuple[Outcome, bool]:
    """The outcome, and whether the step itself gave it rather than a fallback."""
    if not step.retries and not step.fallbacks and step.timeout is None:
        return await step.work.work(inputs, call), True
    try:
        return await _retried(step, inputs, call), True
    except Blocked:
        raise
    except TidemillError as error:
        if call.emitted or not step.fallbacks:
            raise
        failure = error
    for number, fallback in enumerate(step.fallbacks, start=1):
        call.span.set(attributes={FALLBACK: number, f"{FALLBACK}.because": str(failure)[:500]})
        try:
            return await _retried(fallback, fallback.bind(call.values), call), False
        except TidemillError as error:
            if call.emitted:
                raise
            failure = error
    raise failure


async def _retried(step: Step, inputs: JsonObject, call: Call) -> Outcome:
    attempt = 1
    while True:
        try:
            return await _in_time(step, inputs, call)
        except StorageFull:
            raise
        except Unavailable as error:
            if attempt > step.retries or call.emitted:
                raise
            wait = error.retry_after if error.retry_after is not None else 0.1 * 2**attempt
            jitter = random.uniform(0.75, 1.25)  # noqa: S311  (spreads retries; guards no secret)
            await anyio.sleep(min(_LONGEST_WAIT, wait * jitter))
        attempt += 1
        call.span.set(attributes={ATTEMPT: attempt})


async def _in_time(step: Step, inputs: JsonObject, call: Call) -> Outcome:
    if step.timeout is None:
        return await step.work.work(inputs, call)
    with anyio.move_on_after(step.timeout) as limit:
        return await step.work.work(inputs, call)
    assert limit.cancelled_caught
    raise Unavailable(f'step "{step.id}" took longer than {step.timeout:g} s', hint="Raise its timeout, or give it a fallback.")
