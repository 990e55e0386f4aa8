"""One metric of one evaluation: its mean, with an interval that says how far the samples can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tidemill.core.json import JsonObject
from tidemill.evaluation import statistics
from tidemill.evaluation.results import ERROR_RATE, Evaluated, SampleResult, Slice, is_score, sample_values
from tidemill.evaluation.statistics import Floats, Interval

Failed: TypeAlias = Literal["lowest", "highest"]
LEVEL = 0.95
_BOOTSTRAP_UP_TO = 2_000  # beyond, Student's t agrees to three digits and costs nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """The mean over `n` samples and its interval; both None when there is none to give."""

    mean: float | None
    interval: Interval | None
    n: int

    def to_json(self) -> JsonObject:
        """`{"mean", "interval", "n"}`."""
        return {"mean": self.mean, "interval": None if self.interval is None else list(self.interval), "n": self.n}


def mean_of(values: Sequence[float] | Floats, *, binary: bool, unit: bool, level: float = LEVEL) -> Mean:
    """The mean and its interval: Wilson's for scores of 0 and 1, else BCa (Student's t beyond 2,000 samples).

    When all values are equal neither can be used. For scores within 0 and 1 (`unit`) the interval then covers what may have
    gone unseen in n samples; for others it is the value itself, or None for a single one.
    """
    array = np.asarray(values, dtype=np.float64)
    count = len(array)
    if not count:
        return Mean(mean=None, interval=None, n=0)
    mean = float(array.mean())
    if binary and is_binary(array):
        return Mean(mean=mean, interval=statistics.wilson_interval(round(float(array.sum())), n=count, level=level), n=count)
    if np.ptp(array) == 0:
        return Mean(mean=mean, interval=_constant(mean, count=count, unit=unit and is_unit(array), level=level), n=count)
    if count > _BOOTSTRAP_UP_TO:
        return Mean(mean=mean, interval=statistics.t_interval(array, level=level), n=count)
    return Mean(mean=mean, interval=statistics.bca_interval(array, level=level), n=count)


def _constant(value: float, *, count: int, unit: bool, level: float) -> Interval | None:
    if unit:
        unseen = statistics.unseen_share(count, level=level)
        return value - unseen * value, value + unseen * (1 - value)
    return (value, value) if count > 1 else None


def is_binary(values: Floats) -> bool:
    """Whether every value is 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def is_unit(values: Floats) -> bool:
    """Whether every value is within 0 and 1."""
    return bool(((values >= 0) & (values <= 1)).all())


def is_binary_metric(evaluated: Evaluated, metric: str) -> bool:
    """Whether its samples' values are declared to be 0 or 1."""
    return metric == ERROR_RATE or metric in evaluated.binary


def metric_mean(
    evaluated: Evaluated, metric: str, *, within: Slice | None = None, level: float = LEVEL, failed: Failed | None = None
) -> Mean:
    """A metric's mean over the samples that have a value, and its interval.

    With `failed`, runs that failed have a score too: the `lowest` or `highest` there is, 0 or 1 where scores are within 0 and
    1, else the lowest or highest seen.
    """
    values = sample_values(evaluated.results, metric, within=within)
    known = {key: each for key, each in values.items() if each is not None}
    if failed is not None and known and is_score(metric) and metric != ERROR_RATE:
        shares = share_of_runs(evaluated.results, lambda each: each.error is not None)
        extreme = extreme_score(list(known.values()), failed)
        for key in values:
            if shares[key] and (key in known or shares[key] == 1):
                known[key] = mixed(known.get(key, extreme), extreme, shares[key])
    return mean_of(list(known.values()), binary=is_binary_metric(evaluated, metric), unit=is_score(metric), level=level)


def share_of_runs(results: Iterable[SampleResult], holds: Callable[[SampleResult], bool]) -> Mapping[tuple[str, str], float]:
    """The share of each sample's runs for which something holds, by the sample's id and digest."""
    runs, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in results:
        runs[each.sample, each.digest] += 1
        held[each.sample, each.digest] += holds(each)
    return {key: held[key] / count for key, count in runs.items()}


def extreme_score(seen: Sequence[float] | Floats, which: Failed) -> float:
    """The lowest or highest score there is: 0 or 1 where all seen lie within, else the lowest or highest seen."""
    array = np.asarray(seen, dtype=np.float64)
    if is_unit(array):
        return 0.0 if which == "lowest" else 1.0
    return float(array.min() if which == "lowest" else array.max())


def mixed(value: float, other: float, share: float) -> float:
    """The mean of runs of which a `share` has the other value."""
    return value * (1 - share) + other * share


def summarise(evaluated: Evaluated) -> Mapping[str, JsonObject]:
    """Every metric of an evaluation, as INTERFACES shows them."""
    return {metric: metric_mean(evaluated, metric).to_json() for metric in evaluated.metrics}
