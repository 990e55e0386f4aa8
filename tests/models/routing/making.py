"""Routes, requests and their courses, for tests of the decisions."""

from __future__ import annotations

import random

from models.calls import ask
from tidemill.core.clock import FixedClock
from tidemill.core.records import Version
from tidemill.models.caller import Caller
from tidemill.models.retry import RetryPolicy
from tidemill.models.routing.course import Course
from tidemill.models.routing.facts import Facts
from tidemill.models.routing.kind import RouteKind
from tidemill.models.routing.spec import Route, compile_route
from tidemill.models.routing.state import RouteState

RETRY = RetryPolicy(first_delay=0.1, longest_delay=1.0, jitter=lambda: 0.0)


def route(*targets, **body) -> Route:
    parsed = RouteKind().parse({"targets": list(targets) or ["model/a", "model/b"], **body}, files=None)
    refs = {each: f"sha256:{index:064x}" for index, each in enumerate(parsed.references.values())}
    return compile_route(
        Version(project="p", kind="route", name="r", number=1, digest="sha256:" + "f" * 64, spec=parsed.spec, refs=refs)
    )


class World:
    """One route's state, a clock, and chance."""

    def __init__(self, made: Route, *, seed: int = 0) -> None:
        self.route = made
        self.clock = FixedClock(ns=10**12)
        self.chance = random.Random(seed).random
        self.state = RouteState(chance=lambda: 0.0)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def states(self, made: Route | None = None):
        made = made or self.route
        return [self.state.target(each.name, made.breaker, retry_share=made.retry_share) for each in made.targets]

    def course(
        self, *texts, made: Route | None = None, stream=False, params=None, price=None, language=None, **caller
    ) -> Course:
        made = made or self.route
        facts = Facts(
            ask(*(texts or ("hello",)), params=params or {}), caller=Caller(project="p", environment="e", **caller),
            stream=stream, price_of=price or (lambda *_: None), language_of=language,
        )  # fmt: skip
        return Course(made, self.state, self.states(made), facts=facts, now=self.now, policy=RETRY, chance=self.chance)

    def first(self, *texts, **fields) -> str:
        """Who is asked first; it answers at once."""
        course = self.course(*texts, **fields)
        attempt = course.next(self.now)
        course.served(attempt, self.now)
        return attempt.target.name
