"""What can be measured: the names, and each one's value and uncertainty from sums over spans."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry.numbers import intervals
from tidemill.telemetry.numbers.histogram import value_of
from tidemill.telemetry.numbers.intervals import Interval
from tidemill.telemetry.numbers.point_names import MEASURE as METRIC
from tidemill.telemetry.numbers.points import Points
from tidemill.telemetry.schema.rollups import TOKENS

Scope: TypeAlias = Literal["requests", "calls", "spans", "points"]
Timed: TypeAlias = Literal["latency", "first_token"]
_QUANTILE: Final = re.compile(r"(latency|first_token)\.p(\d{1,2}(?:\.\d{1,2})?)")
_SCORE: Final = re.compile(r"score\.(.{1,200})")
_COUNTED: Final = ("users", "sessions", "traces")
_HISTOGRAM: Final[Mapping[int, float]] = {}


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the spans of one group in one bucket. `n` spans were stored; `weighted` is how many they stand for.

    `variance` is that of the number, `cost_variance` that of the cost, by sampling alone; `cost_squares` is weighted twice.
    Times are in nanoseconds. `places` are histograms, `quantiles` what was read from them.
    """

    n: int = 0
    weighted: float = 0.0
    squares: float = 0.0
    variance: float = 0.0
    errors: float = 0.0
    requests: float = 0.0
    requests_variance: float = 0.0
    cost: float = 0.0
    priced: float = 0.0
    cost_variance: float = 0.0
    cost_squares: float = 0.0
    tokens: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    duration: float = 0.0
    duration_squares: float = 0.0
    first_token_time: float = 0.0
    first_tokens: float = 0.0
    quantiles: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    places: Mapping[str, Mapping[int, float]] = msgspec.field(default_factory=dict[str, Mapping[int, float]])
    counted: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    scores: Mapping[str, tuple[float, float, int]] = msgspec.field(default_factory=dict[str, tuple[float, float, int]])
    metrics: Mapping[str, Points] = msgspec.field(default_factory=dict[str, Points])

    @property
    def effective(self) -> float:
        """How many unweighted spans tell as much."""
        return intervals.effective(self.weighted, self.squares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One measure. `timed` and `level` are a quantile's, `score` is a score's name, `counted` what is counted once each."""

    name: str
    value: Callable[[Sums], float | None]
    interval: Callable[[Sums], Interval | None]
    additive: bool = False
    """Nothing there is 0."""
    lower_is_better: bool | None = None
    timed: Timed | None = None
    level: float | None = None
    score: str | None = None
    counted: str | None = None
    metric: str | None = None
    """The name of the metric whose points it is of."""
    unit: str = ""


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _total(value: Callable[[Sums], float], variance: Callable[[Sums], float]) -> Callable[[Sums], Interval | None]:
    """Only what was sampled is uncertain: everything else was counted."""
    return lambda sums: intervals.of_total(value(sums), variance(sums)) if variance(sums) > 0 else None


def _rate_interval(sums: Sums) -> Interval | None:
    share = _share(sums.errors, sums.weighted)
    return None if share is None else intervals.of_share(min(1.0, share), sums.effective)


def _mean_interval(sums: Sums) -> Interval | None:
    if sums.weighted <= 0:
        return None
    found = intervals.of_mean(sums.duration / sums.weighted, sums.duration_squares / sums.weighted, sums.effective)
    return None if found is None else (found[0] / 1e6, found[1] / 1e6)


def _per_request_interval(sums: Sums) -> Interval | None:
    """Requests come at random and cost at random, so a total's variance is about the sum of squares (compound Poisson)."""
    if sums.requests <= 0 or sums.cost_squares <= 0:
        return None
    low, high = intervals.of_total(sums.cost, sums.cost_squares)
    return (low / sums.requests, high / sums.requests)


def _ms(total: float, count: float) -> float | None:
    return total / count / 1e6 if count > 0 else None


_FIXED: Final[Sequence[Measure]] = (
    Measure(
        name="count", value=lambda s: s.weighted, interval=_total(lambda s: s.weighted, lambda s: s.variance), additive=True
    ),
    Measure(
        name="requests", value=lambda s: s.requests, interval=_total(lambda s: s.requests, lambda s: s.requests_variance),
        additive=True,
    ),
    Measure(name="errors", value=lambda s: s.errors, interval=lambda _: None, additive=True, lower_is_better=True),
    Measure(
        name="error_rate", value=lambda s: _share(s.errors, s.weighted), interval=_rate_interval, lower_is_better=True,
        unit="share",
    ),
    Measure(
        name="cost", value=lambda s: s.cost, interval=_total(lambda s: s.cost, lambda s: s.cost_variance), additive=True,
        lower_is_better=True, unit="usd",
    ),
    Measure(
        name="cost_per_request", value=lambda s: _share(s.cost, s.requests), interval=_per_request_interval,
        lower_is_better=True, unit="usd",
    ),
    Measure(
        name="tokens", value=lambda s: s.tokens.get("input_tokens", 0) + s.tokens.get("output_tokens", 0),
        interval=lambda _: None, additive=True,
    ),
    Measure(
        name="latency.mean", value=lambda s: _ms(s.duration, s.weighted), interval=_mean_interval, lower_is_better=True,
        unit="ms",
    ),
    Measure(
        name="first_token.mean", value=lambda s: _ms(s.first_token_time, s.first_tokens), interval=lambda _: None,
        lower_is_better=True, unit="ms",
    ),
)  # fmt: skip


def _tokens(name: str) -> Measure:
    return Measure(name=name, value=lambda sums: sums.tokens.get(name, 0.0), interval=lambda _: None, additive=True)


def _unique(name: str) -> Measure:
    return Measure(
        name=name, value=lambda sums: sums.counted.get(name, 0.0), interval=lambda _: None, additive=True, counted=name
    )


MEASURES: Final[Mapping[str, Measure]] = {each.name: each for each in (*_FIXED, *map(_tokens, TOKENS), *map(_unique, _COUNTED))}
"""By name; quantiles (`latency.p95`, `first_token.p99.9`) and means of scores (`score.NAME`) are read by `measure_of`."""


def measure_of(name: str) -> Measure:
    """The measure of a name. Raises `Invalid`."""
    if name in MEASURES:
        return MEASURES[name]
    if (found := _QUANTILE.fullmatch(name)) and float(found[2]) > 0:
        timed: Timed = "latency" if found[1] == "latency" else "first_token"
        return _quantile(name, timed, float(found[2]) / 100)
    if found := _SCORE.fullmatch(name):
        return _score(name, found[1])
    if (found := METRIC.fullmatch(name)) and (found[3] is None or float(found[3]) > 0):
        return _metric(name, found[1], found[2])
    known = [
        *MEASURES, "latency.p50", "latency.p95", "latency.p99", "first_token.p95", "score.NAME", "metric.NAME.sum",
        "metric.NAME.p95",
    ]  # fmt: skip
    raise Invalid(f"unknown measure {name!r}", hint=did_you_mean(name, known))


def _quantile(name: str, timed: Timed, level: float) -> Measure:
    def value(sums: Sums) -> float | None:
        if timed in sums.places:
            return quantile_of(sums.places[timed], level)
        return sums.quantiles.get(name)

    def interval(sums: Sums) -> Interval | None:
        places = sums.places.get(timed, _HISTOGRAM)
        levels = intervals.quantile_levels(level, sums.effective)
        if not places or levels is None:
            return None
        low, high = quantile_of(places, levels[0]), quantile_of(places, levels[1])
        return None if low is None or high is None else (low, high)

    return Measure(name=name, value=value, interval=interval, lower_is_better=True, timed=timed, level=level, unit="ms")


def _score(name: str, score: str) -> Measure:
    def value(sums: Sums) -> float | None:
        total, _, n = sums.scores.get(score, (0.0, 0.0, 0))
        return total / n if n else None

    def interval(sums: Sums) -> Interval | None:
        total, squares, n = sums.scores.get(score, (0.0, 0.0, 0))
        return intervals.of_mean(total / n, squares / n, n) if n else None

    return Measure(name=name, value=value, interval=interval, lower_is_better=False, score=score)


def _metric(name: str, metric: str, what: str) -> Measure:
    """Of points of a metric; the interval of a quantile holds the quantile for certain."""
    none = Points()

    def points(sums: Sums) -> Points:
        return sums.metrics.get(metric, none)

    if what in {"sum", "count"}:

        def added(sums: Sums) -> float | None:
            found = points(sums)
            return (found.total if what == "sum" else found.count) if found.n else 0.0

        return Measure(name=name, value=added, interval=lambda _: None, additive=True, metric=metric)
    if what == "mean":
        return Measure(name=name, value=lambda sums: points(sums).mean, interval=lambda _: None, metric=metric)
    level = float(what[1:]) / 100

    def interval(sums: Sums) -> Interval | None:
        found = points(sums).bounds_of(level)
        return None if found is None or not all(map(math.isfinite, found)) else found

    return Measure(name=name, value=lambda sums: points(sums).quantile(level), interval=interval, metric=metric)


def quantile_of(places: Mapping[int, float], level: float) -> float | None:
    """The quantile of a histogram by places, in milliseconds; None of nothing."""
    total = sum(places.values())
    if total <= 0:
        return None
    passed, last = 0.0, 0
    for place in sorted(places):
        passed += places[place]
        last = place
        if passed > level * total:
            break
    return value_of(last) / 1e6
