"""Asking the targets of a route: one attempt after the other, or two beside each other, as `routing.course` decides."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeAlias, TypeVar, cast

import anyio.to_thread
import msgspec

from tidemill.core.chat import ChatRequest, Usage
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import DeadlineExceeded, MissingExtra, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.core.records import SpanKind, Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.models.caller import Caller
from tidemill.models.calls import Attempt, Call, Routed, Router, Spent
from tidemill.models.healing import Healing, Ping
from tidemill.models.retry import RetryPolicy
from tidemill.models.routed_time import MOST, Allowed, Lateness
from tidemill.models.routing import course as courses
from tidemill.models.routing.endings import ended, kind_of
from tidemill.models.routing.facts import Facts, LanguageOf
from tidemill.models.routing.spec import Route, Target, compile_route
from tidemill.models.routing.state import Board
from tidemill.pricing.prices import cost_of
from tidemill.telemetry import Span, genai

FindVersion: TypeAlias = Callable[[str, Ref], Awaitable[Version]]
"""(project, reference with a digest) to the version. Raises `NotFound`."""

T = TypeVar("T")
_COMPILED: Final = 256
_SPANS: Final[Mapping[str, SpanKind]] = {"embeddings": "embedding"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """A route with the models that its targets were locked to, by the targets' index."""

    route: Route
    models: tuple[Version, ...]

    @property
    def keys(self) -> dict[str, str]:
        return {each.name: self.models[each.index].digest for each in self.route.targets}


@dataclass(kw_only=True, slots=True)
class _Made(Generic[T]):
    """What an attempt came to: an answer, or an error."""

    attempt: courses.Attempt
    span: Span
    answer: T | None = None
    error: TidemillError | None = None


@dataclass(kw_only=True, slots=True)
class _Request(Generic[T]):
    """One call on its way through a route."""

    call: Call
    attempt: Attempt[T]
    plan: _Plan
    course: courses.Course
    facts: Facts
    failed: dict[str, TidemillError]
    is_won: bool = False
    held: _Made[T] | None = None
    """An answer that a provider's filter stopped, for when nobody gives a better one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _UnderWay:
    """An answer that was given and has not ended. `is_bound_by_caller`: its time is the caller's, and not the route's."""

    course: courses.Course
    attempt: courses.Attempt
    span: Span
    is_bound_by_caller: bool


class Routes:
    """A `Router`: calls of `kind: route` here, all others by `direct`. Belongs to one event loop; `close` it there.

    `chance` (as `random.random`) and `clock` decide what chance and time decide. `ping` makes health probes; without it there
    are none. Without `language_of` a route that reads the language is refused.
    """

    def __init__(
        self,
        *,
        direct: Router,
        version_of: FindVersion,
        clock: Clock | None = None,
        retry: RetryPolicy | None = None,
        chance: Callable[[], float] = random.random,
        language_of: LanguageOf | None = None,
        ping: Ping | None = None,
    ) -> None:
        self._direct = direct
        self._version_of = version_of
        self._clock = clock or SystemClock()
        self._retry = retry or RetryPolicy()
        self._chance = chance
        self._language_of = language_of
        self._healing = Healing(ping=ping, clock=self._clock)
        self._plans: OrderedDict[tuple[str, str], _Plan] = OrderedDict()
        self._board = Board(chance=chance)
        self._making: dict[tuple[str, str], asyncio.Task[_Plan]] = {}
        self._lateness = Lateness()
        self._under_way: dict[int, _UnderWay] = {}

    async def run(self, call: Call, attempt: Attempt[T]) -> Routed[T]:
        """Make attempts until one is good.

        Raises the error of a request that no other target would take either, else `RateLimited` or `Unavailable` when every
        target failed or is left alone.
        """
        if call.model.kind != "route":
            return await self._direct.run(call, attempt)
        plan = await self._plan(call.model)
        request = self._begin(call, attempt, plan)
        while True:
            step = request.course.next(self._clock.monotonic())
            if isinstance(step, courses.End):
                if request.held is not None:
                    return self._won(request, request.held)
                raise self._ended(request, step)
            if isinstance(step, courses.Wait):
                await asyncio.sleep(step.seconds)
                continue
            made = await self._race(request, step)
            if made.error is None and not self._is_stopped_by_filter(request, made):
                await self._drop_held(request)
                return self._won(request, made)
            if made.error is not None:
                request.failed[made.attempt.target.name] = made.error
                if not request.course.moves_on(kind_of(made.error)):
                    await self._drop_held(request)
                    raise made.error

    def settled(self, call: Call, model: Version, spent: Spent, *, seconds: float) -> None:
        """An answer that `run` gave came to its end, or broke off."""
        found = self._under_way.pop(id(call), None)
        if found is None:
            self._direct.settled(call, model, spent, seconds=seconds)
            return
        course, attempt, span = found.course, found.attempt, found.span
        span.set(usage=spent.usage, cost=spent.cost)
        if spent.cancelled or (found.is_bound_by_caller and isinstance(spent.error, DeadlineExceeded)):
            course.abandoned(attempt)
            span.set(error="cancelled" if spent.error is None else spent.error.message)
        elif spent.error is not None:
            kind = kind_of(spent.error)
            course.failed(attempt, kind, self._clock.monotonic(), said=spent.error.message)
            span.set(error=spent.error.message, attributes={genai.FAILURE: kind})
            call.span.set(attributes={genai.FAILURE: kind})
        else:
            course.served(attempt, self._clock.monotonic())
        span.end()

    async def show(self, version: Version, *, project: str, environment: str) -> JsonObject:
        """A route's breakers, latencies and shares in this process."""
        plan = await self._plan(version)
        return self._board.show(project, environment, plan.route, plan.keys, self._clock.monotonic())

    async def close(self) -> None:
        """Stop the health probes."""
        await self._healing.close()

    async def _plan(self, version: Version) -> _Plan:
        """The route's plan. A new one is made once, however many requests come for it in that moment."""
        key = (version.project, version.digest)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(self._make_plan(version))
            making.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(making)

    async def _make_plan(self, version: Version) -> _Plan:
        route = await anyio.to_thread.run_sync(self._compile, version)
        refs = [parse_ref(each.ref).at(version.refs[each.ref]) for each in route.targets]
        models = [await self._version_of(version.project, ref) for ref in refs]
        targets = tuple(_with_context(*each) for each in zip(route.targets, models, strict=True))
        plan = _Plan(route=replace(route, targets=targets), models=tuple(models))
        self._plans[version.project, version.digest] = plan
        if len(self._plans) > _COMPILED:
            self._plans.popitem(last=False)
        return plan

    def _compile(self, version: Version) -> Route:
        route = compile_route(version)
        if "language" in route.reads:
            if self._language_of is None:
                raise MissingExtra("safety", needed_for=f"a condition of {route.name} on the language")
            self._language_of("which language is this?")  # loads what it needs
        return route

    def _begin(self, call: Call, attempt: Attempt[T], plan: _Plan) -> _Request[T]:
        route, caller = plan.route, call.caller
        state = self._board.of(caller.project, caller.environment, route.name)
        states = [state.target(each.digest, route.breaker, retry_share=route.retry_share) for each in plan.models]
        asked = call.request or ChatRequest(model="", messages=tuple(Message.of("user", each) for each in call.texts))

        def price_of(target: Target, tokens_in: int, tokens_out: int) -> float | None:
            return _listed(plan.models[target.index], tokens_in, tokens_out)

        facts = Facts(asked, caller=caller, stream=call.stream, price_of=price_of, language_of=self._language_of)
        now = self._clock.monotonic()
        course = courses.Course(route, state, states, facts=facts, now=now, policy=self._retry, chance=self._chance)
        call.span.set(attributes={genai.ROUTE: route.name})
        return _Request(call=call, attempt=attempt, plan=plan, course=course, facts=facts, failed={})

    def _is_stopped_by_filter(self, request: _Request[T], made: _Made[T]) -> bool:
        """Whether the answer is one that another target may give whole. It is held until one does."""
        if request.held is not None or not request.course.moves_on("content_filter"):
            return False
        if not request.attempt.filtered(cast("T", made.answer)):
            return False
        said = "the provider's content filter stopped the answer"
        request.course.failed(made.attempt, "content_filter", self._clock.monotonic(), said=said)
        made.span.set(error=said, attributes={genai.FAILURE: "content_filter"})
        request.held = made
        return True

    async def _drop_held(self, request: _Request[T]) -> None:
        held, request.held = request.held, None
        if held is not None:
            await request.attempt.discard(cast("T", held.answer))
            held.span.end()

    async def _race(self, request: _Request[T], step: courses.Attempt) -> _Made[T]:
        """Make an attempt; when it is slow and the route says so, another beside it, and take what is good first."""
        after = request.course.hedge_after(step, self._clock.monotonic())
        if after is None:
            return await self._make(request, step)
        running = {asyncio.create_task(self._make(request, step))}
        made: _Made[T] | None = None
        try:
            done, _ = await asyncio.wait(running, timeout=after + step.delay)
            if not done and (second := request.course.hedge(step, self._clock.monotonic())) is not None:
                running.add(asyncio.create_task(self._make(request, second)))
            while running and (made is None or made.error is not None):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    made = await self._better(request, made, each.result())
            request.is_won = made is not None and made.error is None
        finally:
            await self._stop(request, running)
        assert made is not None, "a race has a first"
        return made

    async def _better(self, request: _Request[T], one: _Made[T] | None, other: _Made[T]) -> _Made[T]:
        """The good one of two; of two good ones the second is let go, of two failures the first is noted."""
        if one is None:
            return other
        if one.error is None:
            if other.error is None:
                await self._let_go(request, other)
            return one
        request.failed[one.attempt.target.name] = one.error
        return other

    async def _stop(self, request: _Request[T], running: set[asyncio.Task[_Made[T]]]) -> None:
        """Cancel those that came too late; one that came in the same moment is let go."""
        for task in running:
            task.cancel()
        for found in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(found, _Made) and found.error is None:
                await self._let_go(request, found)

    async def _let_go(self, request: _Request[T], made: _Made[T]) -> None:
        await request.attempt.discard(cast("T", made.answer))
        self._stopped(request, made.attempt, made.span)

    def _stopped(self, request: _Request[T], attempt: courses.Attempt, span: Span) -> None:
        """An attempt was stopped. What a slower one had been sent costs all the same, as far as can be told."""
        request.course.abandoned(attempt, was_beaten=request.is_won)
        if not request.is_won:
            span.set(error="cancelled")
            span.end()
            return
        model = request.plan.models[attempt.target.index]
        tokens = request.facts.length
        price = attempt.target.price
        cost = _listed(model, tokens, 0) if price is None else price.of(tokens, 0)
        request.call.wasted += cost or 0.0
        span.set(error="another was quicker", usage=Usage(input_tokens=tokens), cost=cost, attributes={genai.ESTIMATED: True})
        span.end()

    async def _make(self, request: _Request[T], step: courses.Attempt) -> _Made[T]:
        """One attempt, with its span. The span of a good one is ended by `settled`."""
        attributes: dict[str, Json] = {genai.TARGET: step.target.name, genai.ATTEMPT: step.number, genai.WHY: step.why}
        span = request.call.span.child(step.target.name, kind=_SPANS.get(request.call.operation, "llm"), attributes=attributes)
        allowed: Allowed | None = None
        try:
            if step.delay:
                await asyncio.sleep(step.delay)
            is_bound = step.is_bound_by_caller
            with Allowed(step.timeout, None if is_bound else self._lateness) as allowed:
                silence = step.timeout if is_bound else MOST * step.timeout  # so that it is not that which ends it
                answer = await request.attempt(request.plan.models[step.target.index], timeout=silence)
        except asyncio.CancelledError:
            self._stopped(request, step, span)
            raise
        except TimeoutError:
            error: TidemillError = Unavailable(f"{step.target.name} gave nothing for {step.timeout:.3g} s", kind="timeout")
            step.is_in_doubt = allowed is not None and allowed.was_too_busy
        except TidemillError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  (a provider that crashes must not take the request with it)
            _log.exception("%s failed in a way that no provider should", step.target.name)
            error = Unavailable(f"{step.target.name} failed: {type(failure).__name__}", kind="server")
        else:
            return _Made(attempt=step, span=span, answer=answer)
        return self._failed(request, step, span, error)

    def _failed(self, request: _Request[T], step: courses.Attempt, span: Span, error: TidemillError) -> _Made[T]:
        kind = kind_of(error)
        now = self._clock.monotonic()
        request.course.failed(step, kind, now, retry_after=error.retry_after, said=error.message)
        span.set(error=error.message, attributes={genai.FAILURE: kind})
        span.end()
        if request.plan.route.health is not None and step.state.breaker.state(now) == "open":
            caller, target = request.call.caller, request.plan.models[step.target.index]
            self._healing.begin(request.plan.route, target, step.state, project=caller.project, environment=caller.environment)
        return _Made(attempt=step, span=span, error=error)

    def _won(self, request: _Request[T], made: _Made[T]) -> Routed[T]:
        call, step = request.call, made.attempt
        now = self._clock.monotonic()
        is_bound = False
        if call.stream:
            request.course.began(step, now)
            caller = _bounded(call.caller, now + request.plan.route.longest)
            is_bound, call.caller = caller is call.caller, caller
        self._under_way[id(call)] = _UnderWay(course=request.course, attempt=step, span=made.span, is_bound_by_caller=is_bound)
        call.notes["x-tidemill-target"] = step.target.name
        call.notes["x-tidemill-attempts"] = str(request.course.attempts)
        call.span.set(attributes={genai.TARGET: step.target.name, genai.ATTEMPTS: request.course.attempts})
        model = request.plan.models[step.target.index]
        return Routed(answer=cast("T", made.answer), model=model, attempts=request.course.attempts)

    def _ended(self, request: _Request[T], end: courses.End) -> TidemillError:
        """What the caller is told when nobody is left."""
        request.course.unserved()
        request.call.span.set(attributes={genai.ATTEMPTS: request.course.attempts})
        left = request.call.caller.left(self._clock.monotonic())
        return ended(request.plan.route, request.failed, end, is_late=left is not None and left <= 0)


def _with_context(target: Target, model: Version) -> Target:
    """A target with the context that its model was added with, where the route does not say."""
    known = model.tags.get("context", "")
    return replace(target, context=int(known)) if target.context is None and known.isdigit() else target


def _bounded(caller: Caller, most: float) -> Caller:
    """The caller with a deadline of at most `most` (monotonic seconds), so that no stream goes on for ever."""
    if caller.deadline is not None and caller.deadline <= most:
        return caller
    return msgspec.structs.replace(caller, deadline=most)


def _listed(model: Version, tokens_in: int, tokens_out: int) -> float | None:
    """US dollars by the price list."""
    provider, name = str(model.spec.get("provider")), str(model.spec.get("model") or model.name)
    return cost_of(provider, name, Usage(input_tokens=tokens_in, output_tokens=tokens_out))
