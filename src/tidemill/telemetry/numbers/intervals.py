"""Intervals of shares, means, totals and quantiles of weighted samples, and of the difference of two. Pure; 95 %."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

Interval: TypeAlias = tuple[float, float]
Verdict: TypeAlias = Literal["better", "worse", "higher", "lower", "no difference shown"]
Z: Final = 1.959963984540054


def effective(weight: float, squares: float) -> float:
    """How many equally weighted observations tell as much, from the sums of weights and of their squares (Kish 1965)."""
    return weight * weight / squares if squares > 0 else 0.0


def of_share(share: float, n: float) -> Interval | None:
    """Wilson's interval (1927) of a share among `n` observations; None without any."""
    if n <= 0:
        return None
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(max(0.0, share * (1 - share)) / n + Z * Z / (4 * n * n))
    return (max(0.0, middle - half), min(1.0, middle + half))


def of_mean(mean: float, square: float, n: float) -> Interval | None:
    """The normal interval of a mean, from the mean of squares; None for fewer than two observations."""
    if n < 2:
        return None
    half = Z * math.sqrt(max(0.0, square - mean * mean) / (n - 1))
    return (mean - half, mean + half)


def of_total(total: float, variance: float) -> Interval:
    """The normal interval of a total that was estimated, or that events of random number and size make up."""
    half = Z * math.sqrt(max(0.0, variance))
    return (max(0.0, total - half), total + half)


def quantile_levels(level: float, n: float) -> Interval | None:
    """The levels whose quantiles bound the quantile of a level: its order statistics, by the normal approximation.

    None when `n` is too small for both to be within the sample.
    """
    if n <= 0:
        return None
    half = Z * math.sqrt(level * (1 - level) / n)
    low, high = level - half, level + half
    return (low, high) if low >= 0.5 / n and high <= 1 - 0.5 / n else None


def of_difference(a: float, around_a: Interval | None, b: float, around_b: Interval | None) -> Interval | None:
    """The interval of b - a from the interval of each (MOVER: Zou and Donner 2008); independent samples."""
    if around_a is None or around_b is None:
        return None
    low = b - a - math.hypot(b - around_b[0], around_a[1] - a)
    high = b - a + math.hypot(around_b[1] - b, a - around_a[0])
    return (low, high)


def verdict(interval: Interval | None, *, lower_is_better: bool | None) -> Verdict:
    """What a difference b - a shows; `None` is for what is neither good nor bad."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "no difference shown"
    higher = interval[0] > 0
    if lower_is_better is None:
        return "higher" if higher else "lower"
    return "worse" if higher == lower_is_better else "better"
