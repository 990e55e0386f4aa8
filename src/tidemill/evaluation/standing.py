"""Where candidates stand beside each other: quality, latency, speed and cost, and which of them are worth choosing.

A candidate is `dominated` when another is shown to be better (paired, corrected for the number of pairs looked at) and is
neither dearer nor slower. It is `undecided` when another is cheaper or faster and no quality was shown to be lost. The rest is
the front: what one may choose, depending on what one pays for. A latency within a tenth counts as the same, and one that was
not measured now says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from tidemill.core.json import Json
from tidemill.evaluation.paired import DRIFT, measure, pair_up
from tidemill.evaluation.results import COST, ERROR_RATE, LATENCY, Evaluated, SampleResult
from tidemill.evaluation.summary import Mean, extreme_score, mean_of, metric_mean
from tidemill.evaluation.verdicts import shows_better

Mark: TypeAlias = Literal["front", "undecided", "dominated"]
Price: TypeAlias = tuple[float, float | None]
"""US dollars for a million tokens of input and of output."""

_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One candidate's figures. Latencies in milliseconds, of one answer; `cost` in US dollars, of one request.

    `earlier` says that the latencies are of when the outputs were first made. `priced_by` is `pricing`, `catalogue`, or empty
    when no price is known.
    """

    quality: Mapping[str, Mean]
    latency_p50: float | None
    latency_p95: float | None
    tokens_per_second: float | None
    earlier: bool
    cost: Mean
    priced_by: str
    tokens: tuple[float, float]
    errors: int

    def to_json(self, *, load: int) -> dict[str, Json]:
        """As the API shows it; `load` is in requests a month."""
        month = [None if each is None else each * load for each in (self.cost.mean, *(self.cost.interval or (None, None)))]
        return {
            "metrics": {name: mean.to_json() for name, mean in self.quality.items()},
            "latency_ms": {"p50": self.latency_p50, "p95": self.latency_p95, "earlier": self.earlier},
            "tokens_per_second": self.tokens_per_second,
            "tokens": {"input": self.tokens[0], "output": self.tokens[1]},
            "cost": {
                "per_request": self.cost.mean,
                "per_month": month[0],
                "interval": None if self.cost.interval is None else month[1:],
                "load": load,
                "priced_by": self.priced_by or None,
            },
            "errors": self.errors,
        }


def standing(evaluated: Evaluated, *, price: Price | None) -> Standing:
    """A candidate's figures. A run that failed counts as the worst score; `price` is taken where none was known when it ran."""
    answered = [each for each in evaluated.results if each.error is None]
    fresh = [each for each in answered if not each.reused]
    timed = fresh or answered
    latencies = [each.latency_ms for each in timed if each.latency_ms is not None]
    speeds = [
        each.usage.output_tokens / each.latency_ms * 1000 for each in timed if each.latency_ms and each.usage.output_tokens
    ]
    cost, priced_by = _cost(answered, price)
    return Standing(
        quality={
            name: metric_mean(evaluated, name, failed="lowest")
            for name in evaluated.metrics
            if name not in {LATENCY, COST, ERROR_RATE}
        },
        latency_p50=_quantile(latencies, 0.5),
        latency_p95=_quantile(latencies, 0.95),
        tokens_per_second=_quantile(speeds, 0.5),
        earlier=not fresh,
        cost=cost,
        priced_by=priced_by,
        tokens=(
            _mean([each.usage.input_tokens for each in answered]),
            _mean([each.usage.output_tokens for each in answered]),
        ),
        errors=len(evaluated.results) - len(answered),
    )


def front(candidates: Sequence[tuple[Evaluated, Standing]], *, metric: str) -> list[tuple[Mark, list[int]]]:
    """For each candidate its mark, and the places of those that dominate it or leave it undecided."""
    level = _ALPHA / max(1, len(candidates) * (len(candidates) - 1) // 2)
    measured_now = all(not each.earlier for _, each in candidates)
    whole = _with_failures([each for each, _ in candidates], metric)
    marks: list[tuple[Mark, list[int]]] = []
    for place, (_, here) in enumerate(candidates):
        others = [
            (at, _is_better(whole[place], whole[at], metric, alpha=level), _is_cheaper(here, figures, timed=measured_now))
            for at, (_, figures) in enumerate(candidates)
            if at != place and _is_no_dearer(here, figures, timed=measured_now)
        ]
        worse_than = [at for at, better, _ in others if better]
        doubtful = [
            at for at, better, cheaper in others if not better and cheaper
            and not _is_better(whole[at], whole[place], metric, alpha=level)
        ]  # fmt: skip
        marks.append(("dominated", worse_than) if worse_than else ("undecided", doubtful) if doubtful else ("front", []))
    return marks


def _with_failures(candidates: Sequence[Evaluated], metric: str) -> list[Evaluated]:
    """The same with every run that failed scored as the worst there is: 0 where scores are within 0 and 1."""
    seen = [value for each in candidates for run in each.results if (value := run.scores.get(metric)) is not None]
    worst = extreme_score(seen, "lowest") if seen else 0.0
    return [
        replace(each, results=[
            run if run.error is None else replace(run, error=None, scores={metric: worst}) for run in each.results
        ])
        for each in candidates
    ]  # fmt: skip


def _is_better(a: Evaluated, b: Evaluated, metric: str, *, alpha: float) -> bool:
    """Whether b is shown to be better than a."""
    pairs = pair_up(a, b, metric)
    return pairs.n > 1 and shows_better(pairs, measure(pairs, alpha=alpha))


def _is_no_dearer(own: Standing, other: Standing, *, timed: bool) -> bool:
    if own.cost.mean is None or other.cost.mean is None or other.cost.mean > own.cost.mean:
        return False
    if not timed or own.latency_p50 is None or other.latency_p50 is None:
        return not timed
    return other.latency_p50 <= own.latency_p50 * (1 + DRIFT)


def _is_cheaper(own: Standing, other: Standing, *, timed: bool) -> bool:
    """Strictly, in cost or, where it was measured now, in time."""
    cheaper = own.cost.mean is not None and other.cost.mean is not None and other.cost.mean < own.cost.mean
    known = timed and own.latency_p50 is not None and other.latency_p50 is not None
    return cheaper or (known and (other.latency_p50 or 0) < (own.latency_p50 or 0) * (1 - DRIFT))


def _cost(answered: Sequence[SampleResult], price: Price | None) -> tuple[Mean, str]:
    known = [each.cost for each in answered if each.cost is not None]
    if known and len(known) == len(answered):
        return mean_of(known, binary=False, unit=False), "pricing"
    if price is None or not answered:
        return Mean(mean=None, interval=None, n=0), ""
    costs = [(each.usage.input_tokens * price[0] + each.usage.output_tokens * (price[1] or 0.0)) / 1e6 for each in answered]
    return mean_of(costs, binary=False, unit=False), "catalogue"


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(np.asarray(values, dtype=np.float64), share)) if values else None


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
