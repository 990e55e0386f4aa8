"""Intervals, tests and effect sizes for paired samples. Pure functions over arrays; no I/O, and randomness comes seeded.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 14 (BCa); Wilson 1927; Newcombe 1998,
"Improved confidence intervals for the difference between binomial proportions based on paired data" (Statistics in
Medicine 17, 2635-2650), method 10; McNemar 1947, exact form; Wilcoxon 1945; Holm 1979; Kerby 2014 (rank-biserial).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tidemill.core.errors import Invalid
from tidemill.evaluation import distributions

Floats: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

RESAMPLES = 10_000
POWER = 0.8
_CELLS = 1 << 20  # resampled values held at once: 8 MB


def bootstrap_means(values: Floats, *, resamples: int, seed: int) -> Floats:
    """Means of `resamples` samples drawn from `values` with replacement, shape (resamples,)."""
    generator = np.random.default_rng(seed)
    count = len(values)
    step = max(1, _CELLS // count)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        means[start:stop] = values[generator.integers(0, count, (stop - start, count))].mean(axis=1)
    return means


def bca_interval(values: Floats, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean.

    `values` needs at least two that differ; raises `Invalid` otherwise, for there the bootstrap has nothing to say.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        raise Invalid("a bootstrap needs at least two values that differ")
    mean = float(values.mean())
    means = bootstrap_means(values, resamples=resamples, seed=seed)
    slack = 1e-12 * float(np.abs(values).max())  # sums in another order differ in the last bits
    below, at_most = int((means < mean - slack).sum()), int((means <= mean + slack).sum())
    share = min(max((below + at_most) / (2 * resamples), 0.5 / resamples), 1 - 0.5 / resamples)
    bias = distributions.normal_quantile(share)
    acceleration = _acceleration(values)
    tails = (distributions.normal_quantile((1 - level) / 2), distributions.normal_quantile((1 + level) / 2))
    edges = [distributions.normal_cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in tails]
    low, high = np.quantile(means, edges)
    return float(low), float(high)


def _acceleration(values: Floats) -> float:
    """A sixth of the jackknife means' skewness."""
    count = len(values)
    jackknife = (values.sum() - values) / (count - 1)
    away = jackknife.mean() - jackknife
    spread = float((away**2).sum()) ** 1.5
    return float((away**3).sum()) / (6 * spread) if spread else 0.0


def t_interval(values: Floats, *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean. `values` has at least two elements."""
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = distributions.t_quantile((1 + level) / 2, degrees=len(values) - 1) * error
    return mean - half, mean + half


def wilson_interval(successes: float, *, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, without continuity correction. Effective counts need not be whole."""
    z = distributions.normal_quantile((1 + level) / 2)
    share, squared = successes / n, z * z
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = z / (1 + squared / n) * math.sqrt(share * (1 - share) / n + squared / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def newcombe_interval(both: int, *, only_a: int, only_b: int, neither: int, level: float = 0.95) -> Interval:
    """Newcombe's method 10 for the paired difference of proportions, b - a.

    The four counts are of pairs where both succeed, only a does, only b does, neither does.
    """
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    low_a, high_a = wilson_interval(both + only_a, n=n, level=level)
    low_b, high_b = wilson_interval(both + only_b, n=n, level=level)
    phi = _phi(both, only_a, only_b, neither)
    down = _combined(b - low_b, high_a - a, phi)
    up = _combined(high_b - b, a - low_a, phi)
    return max(-1.0, b - a - down), min(1.0, b - a + up)


def _phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """The correlation of the pairs, pulled towards 0 by Newcombe's continuity correction when it is positive."""
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if not product:
        return 0.0
    n = both + only_a + only_b + neither
    numerator = both * neither - only_a * only_b
    corrected = max(numerator - n / 2, 0.0) if numerator > 0 else float(numerator)
    return corrected / math.sqrt(product)


def _combined(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """McNemar's exact two-sided p-value: the discordant pairs as fair coin tosses. No discordant pair: 1."""
    if not only_a + only_b:
        return 1.0
    return min(1.0, 2 * distributions.binomial_cdf(min(only_a, only_b), n=only_a + only_b))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def rank_biserial(differences: Floats) -> float:
    """The matched-pairs rank-biserial correlation in [-1, 1]: share of rank sum above 0 less that below. All zero: 0."""
    left = differences[differences != 0]
    if not left.size:
        return 0.0
    ranks = _ranks(np.abs(left))
    return float((ranks * np.sign(left)).sum() / ranks.sum())


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], dtype=np.float64)


def standardised_difference(differences: Floats) -> float | None:
    """Cohen's d_z, mean over standard deviation of the differences; None when it does not vary."""
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / deviation if deviation else None


def _z_total(alpha: float) -> float:
    return distributions.normal_quantile(1 - alpha / 2) + distributions.normal_quantile(POWER)


def detectable(deviation: float, *, n: int, alpha: float = 0.05) -> float:
    """The smallest mean difference that `n` pairs show with 80 % power, by the normal approximation."""
    return _z_total(alpha) * deviation / math.sqrt(n)


def needed(deviation: float, *, difference: float, alpha: float = 0.05) -> int:
    """How many pairs show `difference` (not 0) with 80 % power, by the normal approximation."""
    return max(2, math.ceil((_z_total(alpha) * deviation / difference) ** 2))


def unseen_share(n: int, *, level: float = 0.95) -> float:
    """The largest share of pairs that may differ when none of `n` did (two-sided Clopper-Pearson, 0 of n)."""
    return 1 - ((1 - level) / 2) ** (1 / n)
