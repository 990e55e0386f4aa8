"""Two sets of results over the same samples, paired, and what their difference shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tidemill.core.errors import Invalid
from tidemill.evaluation import distributions, statistics
from tidemill.evaluation.results import LATENCY, Direction, Evaluated, Slice, direction_of, is_score, sample_values, value_of
from tidemill.evaluation.statistics import Floats, Interval
from tidemill.evaluation.summary import extreme_score, is_binary, is_binary_metric, is_unit, share_of_runs

FEWEST = 6  # the fewest pairs by which an exact two-sided test can reach p < 0.05
DRIFT = 0.1  # of the mean latency: what the hour alone can do; recorded repeats of one application differ by 6 and 8 %


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """A metric's values in two evaluations, `a` and `b`, of the samples `ids`.

    `lost` and `gained` are samples that only `a` or only `b` has a value for; `lost_values` are a's values of the lost ones.
    `missing` says, pair by pair, which share of b's runs gave no value beyond the share of a's; empty when none.
    """

    metric: str
    ids: tuple[str, ...]
    a: Floats
    b: Floats
    binary: bool = False
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    lost_values: tuple[float, ...] = ()
    missing: tuple[float, ...] = ()
    reused: int = 0

    @property
    def n(self) -> int:
        """How many pairs have a value on both sides."""
        return len(self.ids)

    @property
    def seen(self) -> int:
        """How many samples have a value on either side."""
        return len(self.ids) + len(self.lost) + len(self.gained)

    @property
    def direction(self) -> Direction:
        """Whether higher or lower is better."""
        return direction_of(self.metric)

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1; the difference times this is positive when b is better."""
        return 1.0 if self.direction == "higher" else -1.0

    @property
    def differences(self) -> Floats:
        """What b has more than a, pair by pair, cleaned of rounding so that equal differences are ties."""
        if not self.n:
            return np.empty(0)
        scale = float(max(np.abs(self.a).max(), np.abs(self.b).max())) or 1.0
        return np.asarray(np.round((self.b - self.a) / scale, 12) * scale, dtype=np.float64)

    @property
    def drift(self) -> float:
        """The difference that two evaluations can have for having run at different times; latency only.

        It is the same for all samples of a run, so no number of samples averages it out.
        """
        return DRIFT * float(np.abs(self.a).mean()) if self.metric == LATENCY and self.n else 0.0

    @property
    def counts(self) -> tuple[int, int, int, int] | None:
        """For scores of 0 and 1: how many pairs succeed in both, only in a, only in b, in neither. Else None."""
        if not (self.binary and self.n and is_binary(self.a) and is_binary(self.b)):
            return None
        both, only_a = int((self.a * self.b).sum()), int((self.a * (1 - self.b)).sum())
        only_b = int(((1 - self.a) * self.b).sum())
        return both, only_a, only_b, self.n - both - only_a - only_b

    @property
    def failed(self) -> int:
        """How many samples `b` failed to score, wholly or in some runs, where `a` did better."""
        return len(self.lost) + sum(each > 0 for each in self.missing)

    def shown(self, *, better: bool) -> list[str]:
        """The samples that are better (or worse) in b, the largest change first."""
        moved = self.differences * self.sign * (1 if better else -1)
        order = np.argsort(-moved, kind="stable")
        return [self.ids[index] for index in order if moved[index] > 0]

    def at_worst(self) -> Pairs:
        """The same with what b failed to score counted as the worst: 0 where scores are within 0 and 1, else the worst seen."""
        if not self.failed or not is_score(self.metric):
            return self
        lost = np.asarray(self.lost_values, dtype=np.float64)
        worst = extreme_score(np.concatenate([self.a, self.b, lost]), "lowest" if self.sign > 0 else "highest")
        missing = np.asarray(self.missing or (0.0,) * self.n, dtype=np.float64)
        a = np.concatenate([self.a, lost])
        b = np.concatenate([self.b * (1 - missing) + worst * missing, np.full(len(lost), worst)])
        return replace(self, ids=(*self.ids, *self.lost), a=a, b=b, lost=(), lost_values=(), missing=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What pairs show at one `alpha`: b - a, its 1 - alpha interval and the test's p-value. None where too few pairs tell.

    `detectable` is the smallest difference that as many pairs show with 80 % power, `deviation` that of the differences.
    """

    alpha: float
    n: int
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    test: str = ""
    effect: tuple[str, float] | None = None
    deviation: float = 0.0
    detectable: float | None = None


def pair_up(a: Evaluated, b: Evaluated, metric: str, *, within: Slice | None = None) -> Pairs:
    """Pair the samples that both hold, by id and content. Raises `Invalid` when they share none."""
    left, right = sample_values(a.results, metric, within=within), sample_values(b.results, metric, within=within)
    shared = [key for key in left if key in right]
    if not shared:
        raise Invalid(
            f"the evaluations {a.id} and {b.id} have no sample in common" + (f" in {within}" if within else ""),
            hint="Compare evaluations of the same dataset.",
        )
    return _pairs(metric, left, right, shared, binary=is_binary_metric(a, metric) and is_binary_metric(b, metric), sides=(a, b))


def same_outputs(a: Evaluated, b: Evaluated, *, within: Slice | None = None) -> bool:
    """Whether both ran the same samples and gave each the same output and documents: for these, nothing has changed."""
    sides = [
        {
            (each.sample, each.digest, each.replicate): (each.error, each.output, list(each.retrieved))
            for each in side.results
            if within is None or within.holds(each.metadata)
        }
        for side in (a, b)
    ]
    gave = all(error is None and (output is not None or found) for error, output, found in sides[0].values())
    return gave and sides[0] == sides[1]


def _pairs(
    metric: str,
    left: Mapping[tuple[str, str], float | None],
    right: Mapping[tuple[str, str], float | None],
    shared: list[tuple[str, str]],
    *,
    binary: bool,
    sides: tuple[Evaluated, Evaluated],
) -> Pairs:
    known = [(key, x, y) for key in shared if (x := left[key]) is not None and (y := right[key]) is not None]
    lost = [(key, x) for key in shared if (x := left[key]) is not None and right[key] is None]
    gained = [key for key in shared if left[key] is None and right[key] is not None]
    unscored = [share_of_runs(each.results, lambda run: value_of(run, metric) is None) for each in sides]
    missing = tuple(max(0.0, unscored[1][key] - unscored[0][key]) for key, _, _ in known)
    reused = {(each.sample, each.digest) for side in sides for each in side.results if each.reused and each.error is None}
    return Pairs(
        metric=metric,
        ids=tuple(key[0] for key, _, _ in known),
        a=np.array([x for _, x, _ in known], dtype=np.float64),
        b=np.array([y for _, _, y in known], dtype=np.float64),
        binary=binary,
        lost=tuple(key[0] for key, _ in lost),
        gained=tuple(key[0] for key in gained),
        lost_values=tuple(x for _, x in lost),
        missing=missing if any(missing) and is_score(metric) else (),
        reused=len(reused.intersection(shared)) if metric == LATENCY else 0,
    )


def measure(pairs: Pairs, *, alpha: float = 0.05, resamples: int = statistics.RESAMPLES, seed: int = 0) -> Measured:
    """Measure b - a: Newcombe's interval and McNemar's test for scores of 0 and 1, else BCa and Wilcoxon's test."""
    if pairs.n < 2:
        return Measured(alpha=alpha, n=pairs.n, difference=float(pairs.differences[0]) if pairs.n else None)
    differences = pairs.differences
    deviation = float(differences.std(ddof=1))
    counts = pairs.counts
    if counts is not None:
        both, only_a, only_b, neither = counts
        interval = statistics.newcombe_interval(both, only_a=only_a, only_b=only_b, neither=neither, level=1 - alpha)
        p_value, test = statistics.mcnemar_p(only_a, only_b), "mcnemar_exact"
        effect = ("odds_ratio", only_b / only_a) if only_a else None
    else:
        interval = _interval(pairs, differences, level=1 - alpha, resamples=resamples, seed=seed)
        p_value, test = distributions.wilcoxon_p(differences), "wilcoxon_signed_rank"
        effect = ("rank_biserial", statistics.rank_biserial(differences))
    return Measured(
        alpha=alpha,
        n=pairs.n,
        difference=float(differences.mean()),
        interval=interval,
        p_value=p_value,
        test=test,
        effect=effect,
        deviation=deviation,
        detectable=_detectable(pairs, deviation, alpha=alpha),
    )


def _interval(pairs: Pairs, differences: Floats, *, level: float, resamples: int, seed: int) -> Interval:
    if np.ptp(differences) > 0:
        return statistics.bca_interval(differences, level=level, resamples=resamples, seed=seed)
    reach = statistics.unseen_share(pairs.n, level=level) * _spread(pairs)
    return float(differences[0]) - reach, float(differences[0]) + reach


def _spread(pairs: Pairs) -> float:
    """How far one pair could differ: 1 for scores within 0 and 1, else the range of the values seen."""
    seen = np.concatenate([pairs.a, pairs.b])
    return 1.0 if is_score(pairs.metric) and is_unit(seen) else float(np.ptp(seen))


def _detectable(pairs: Pairs, deviation: float, *, alpha: float) -> float:
    if deviation:
        return statistics.detectable(deviation, n=pairs.n, alpha=alpha)
    return statistics.unseen_share(pairs.n, level=1 - alpha) * _spread(pairs)
