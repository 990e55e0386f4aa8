"""What a route says, compiled once a version: its targets, how one is chosen, and what happens when it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast, get_args

from tidemill.core.conditions import Condition
from tidemill.core.errors import FailureKind
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.routing.breaker import BreakerPolicy

Strategy: TypeAlias = Literal["ordered", "weighted", "latency", "cost", "load"]
Sticky: TypeAlias = Literal["session", "user", "key", "team"]

FAILURES: Final[tuple[FailureKind, ...]] = get_args(FailureKind)
STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)
MOVES_ON: Final[frozenset[FailureKind]] = frozenset(
    {"rate_limited", "overloaded", "timeout", "connection", "server", "auth", "context_length"}
)
"""The failures after which the next target is asked, unless the route says otherwise."""
QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_MOST_ATTEMPTS: Final = 16
_MILLION: Final = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """US dollars."""
        return (self.input * tokens_in + self.output * tokens_out) / _MILLION


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One model that may answer. `ref` is as written, `name` without the version; `context` is in tokens.

    `after`: it is asked only when an attempt failed with one of these.
    """

    index: int
    ref: str
    name: str
    weight: float = 1.0
    order: int = 0
    when: Condition | None = None
    after: frozenset[FailureKind] = frozenset()
    context: int | None = None
    price: Price | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hedge:
    """A second target is asked when the first is slow: after `after` seconds, or at the quantile `at` of what was seen lately.

    At most `share` of the requests are hedged.
    """

    after: float | None = None
    at: float = 0.95
    share: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Affinity:
    """Conversations with the same beginning of `characters` go to one target, while it holds less than `load` of its part."""

    characters: int = 2000
    load: float = 1.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """While a target's breaker is open, it is asked something small every `every` seconds, so that no caller has to try it."""

    every: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A compiled route. Times in seconds.

    `attempts` is the most that one request makes, `retries` the most at one target after its first; `retry_share` is what the
    target's retry budget earns by each success. `wait` is how long a request waits for a target while all are left alone.
    `timeout` bounds a whole answer, `first_token` the beginning of a stream, `longest` a whole stream.
    """

    name: str
    digest: str
    targets: tuple[Target, ...]
    strategy: Strategy = "ordered"
    sticky: Sticky | None = None
    affinity: Affinity | None = None
    moves_on: frozenset[FailureKind] = MOVES_ON
    attempts: int = 4
    retries: int = 1
    retry_share: float = 0.1
    wait: float = 2.0
    timeout: float = 120.0
    first_token: float = 30.0
    longest: float = 1800.0
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    hedge: Hedge | None = None
    health: Health | None = None

    @property
    def reads(self) -> frozenset[str]:
        """The names that its conditions read."""
        return frozenset(name for each in self.targets if each.when is not None for name in each.when.names)

    @property
    def names(self) -> Mapping[str, Target]:
        """Targets by name."""
        return {each.name: each for each in self.targets}


def answers_as(version: Version) -> str:
    """What a route stands for: the kind of its targets; of anything else its own."""
    if version.kind != "route":
        return version.kind
    targets = cast("Sequence[JsonObject]", version.spec["targets"])
    return parse_ref(str(targets[0]["model"])).kind


def compile_route(version: Version) -> Route:
    """A route's version, ready to decide. Slow where it has conditions (they are compiled): do it once, on a worker thread."""
    spec = version.spec
    targets = tuple(_target(index, each) for index, each in enumerate(cast("Sequence[JsonObject]", spec["targets"])))
    fallback = _part(spec, "fallback")
    given: dict[str, object] = {
        name: spec[name] for name in ("strategy", "sticky", "timeout", "first_token", "longest") if name in spec
    }
    given.update({name: fallback[name] for name in ("attempts", "retries", "retry_share", "wait") if name in fallback})
    if "on" in fallback:
        given["moves_on"] = frozenset(cast("Sequence[FailureKind]", fallback["on"]))
    given.setdefault("attempts", min(_MOST_ATTEMPTS, len(targets) + 2))
    for name, kind in (("affinity", Affinity), ("health", Health), ("breaker", BreakerPolicy)):
        if name in spec:
            given[name] = kind(**_part(spec, name))  # pyright: ignore[reportArgumentType]  (as the kind checked it)
    if "hedge" in spec:
        given["hedge"] = _hedge(_part(spec, "hedge"))
    return Route(name=version.bare, digest=version.digest, targets=targets, **given)  # pyright: ignore[reportArgumentType]


def _hedge(spec: JsonObject) -> Hedge:
    after, share = spec.get("after", "p95"), float(cast("float", spec.get("share", 0.05)))
    if isinstance(after, str):
        return Hedge(at=QUANTILES[after], share=share)
    return Hedge(after=float(cast("float", after)), share=share)


def _target(index: int, spec: JsonObject) -> Target:
    ref = str(spec["model"])
    price = _part(spec, "price")
    return Target(
        index=index,
        ref=ref,
        name=parse_ref(ref).bare,
        weight=float(cast("float", spec.get("weight", 1.0))),
        order=cast("int", spec.get("order", 0)),
        when=Condition(str(spec["when"])) if "when" in spec else None,
        after=frozenset(cast("Sequence[FailureKind]", spec.get("after", ()))),
        context=cast("int | None", spec.get("context")),
        price=Price(input=cast("float", price["input"]), output=cast("float", price["output"])) if price else None,
    )


def _part(spec: JsonObject, name: str) -> JsonObject:
    return cast("JsonObject", spec.get(name) or {})
