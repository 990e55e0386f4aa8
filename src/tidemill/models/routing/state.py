"""What was observed of a route's targets in this process."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tidemill.core.errors import FailureKind
from tidemill.core.json import Json, JsonObject
from tidemill.models.retry import RetryBudget
from tidemill.models.routing.breaker import Breaker, BreakerPolicy
from tidemill.models.routing.latency import Latencies
from tidemill.models.routing.spec import Route, Target

_ROUTES_KEPT: Final = 512
_TARGETS_KEPT: Final = 256
_RETRIES: Final = 20.0
_HEDGES: Final = 10.0


@dataclass(kw_only=True, slots=True)
class TargetState:
    """One target. `outstanding` attempts are under way.

    `cooling_until` is when a rate limit passes, `served_at` when it last gave an answer: both in monotonic seconds.
    """

    breaker: Breaker
    retries: RetryBudget
    whole: Latencies = field(default_factory=Latencies)
    first: Latencies = field(default_factory=Latencies)
    outstanding: int = 0
    cooling_until: float = 0.0
    attempts: int = 0
    served: int = 0
    served_at: float = 0.0
    hedged: int = 0
    lost: int = 0
    failures: Counter[FailureKind] = field(default_factory=Counter[FailureKind])
    last_failure: str = ""

    def latencies(self, *, stream: bool) -> Latencies:
        """Those that a request of this sort goes by."""
        return self.first if stream else self.whole

    def as_json(self, now: float) -> dict[str, Json]:
        """What is shown of it; times in milliseconds, waits in seconds."""
        good, bad = self.breaker.counts(now)
        return {
            "breaker": self.breaker.state(now),
            "opens_in": round(self.breaker.wait(now), 3),
            "window": {"succeeded": good, "failed": bad},
            "cooling": round(max(0.0, self.cooling_until - now), 3),
            "outstanding": self.outstanding,
            "attempts": self.attempts,
            "served": self.served,
            "hedged": self.hedged,
            "lost": self.lost,
            "failures": {str(kind): count for kind, count in self.failures.items()},
            "last_failure": self.last_failure or None,
            "retries_left": round(self.retries.left, 1),
            "latency_ms": _shown(self.whole, now),
            "first_token_ms": _shown(self.first, now),
        }


class RouteState:
    """One route in one environment of a project: its targets by digest of the model; they outlast a new version of it."""

    __slots__ = ("_chance", "hedges", "requests", "targets", "unserved")

    def __init__(self, *, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.targets: OrderedDict[str, TargetState] = OrderedDict()
        self.hedges = RetryBudget(most=_HEDGES, left=1.0, share=0.05)
        self.requests = 0
        self.unserved = 0

    def target(self, key: str, policy: BreakerPolicy, *, retry_share: float) -> TargetState:
        """The state of a target, by its model's digest; made when there is none."""
        found = self.targets.get(key)
        if found is None:
            breaker = Breaker(policy, chance=self._chance)
            found = TargetState(breaker=breaker, retries=RetryBudget(most=_RETRIES, left=_RETRIES, share=retry_share))
            self.targets[key] = found
            if len(self.targets) > _TARGETS_KEPT:
                self._forget_one()
        found.breaker.policy = policy
        found.retries.share = retry_share
        return found

    def _forget_one(self) -> None:
        idle = next((key for key, each in self.targets.items() if not each.outstanding), None)
        if idle is not None:
            del self.targets[idle]


class Board:
    """Every route's state in this process. What was not used longest is forgotten beyond 512 routes."""

    __slots__ = ("_chance", "_routes")

    def __init__(self, *, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._routes: OrderedDict[tuple[str, str, str], RouteState] = OrderedDict()

    def of(self, project: str, environment: str, route: str) -> RouteState:
        """The state of a route (`route/NAME`), made when there is none."""
        key = (project, environment, route)
        found = self._routes.get(key)
        if found is None:
            found = self._routes[key] = RouteState(chance=self._chance)
            if len(self._routes) > _ROUTES_KEPT:
                self._routes.popitem(last=False)
        else:
            self._routes.move_to_end(key)
        return found

    def show(self, project: str, environment: str, route: Route, keys: dict[str, str], now: float) -> JsonObject:
        """What `tidemill routes show` shows: each target with its breaker, latencies and share. `keys` are digests by name."""
        state = self.of(project, environment, route.name)
        served = sum(each.served for each in state.targets.values())
        return {
            "route": route.name,
            "digest": route.digest,
            "strategy": route.strategy,
            "requests": state.requests,
            "unserved": state.unserved,
            "hedges_left": round(state.hedges.left, 2),
            "targets": [_target(route, each, state, keys, served, now) for each in route.targets],
        }


def _target(route: Route, target: Target, state: RouteState, keys: dict[str, str], served: int, now: float) -> JsonObject:
    found = state.target(keys[target.name], route.breaker, retry_share=route.retry_share)
    return {
        "model": target.name,
        "weight": target.weight,
        "order": target.order,
        "when": None if target.when is None else target.when.text,
        "after": sorted(target.after),
        "share": round(found.served / served, 4) if served else None,
        **found.as_json(now),
    }


def _shown(latencies: Latencies, now: float) -> JsonObject | None:
    middle = latencies.recent.quantile(0.5, now)
    if middle is None:
        return None
    high = latencies.recent.quantile(0.95, now) or middle
    return {
        "p50": round(middle * 1000, 1),
        "p95": round(high * 1000, 1),
        "average": round(latencies.average.cost(now) * 1000, 1),
    }
