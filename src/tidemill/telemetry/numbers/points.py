"""Points of metrics added up: what happened in a time, whatever their temporality, and quantiles out of buckets. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

Segment: TypeAlias = tuple[float, float, float]
"""From, to, and how many values lie there."""


@dataclass(kw_only=True, slots=True)
class Points:
    """What the points of one group in one bucket come to. `gauges` are values that were read, not added up.

    `total` and `count` are None while no point says them. `unclear` is set where buckets cannot be told from earlier ones.
    """

    n: int = 0
    total: float | None = None
    count: float | None = None
    segments: list[Segment] = field(default_factory=list[Segment])
    gauges: list[float] = field(default_factory=list[float])
    unclear: bool = False

    def add(self, kind: str, total: float, count: float) -> None:
        """Take sums; a counter does not say how many it counted."""
        self.total = (self.total or 0.0) + total
        if kind != "sum":
            self.count = (self.count or 0.0) + count

    @property
    def mean(self) -> float | None:
        """The mean of a histogram's or summary's values, or of a gauge's readings."""
        if self.gauges:
            return sum(self.gauges) / len(self.gauges)
        return self.total / self.count if self.count and self.total is not None else None

    def bounds_of(self, level: float) -> tuple[float, float] | None:
        """Between which values the quantile certainly is; the upper may be infinite. None of nothing."""
        if self.gauges:
            found = sorted(self.gauges)[min(len(self.gauges) - 1, int(level * len(self.gauges)))]
            return found, found
        if self.unclear or not self.segments:
            return None
        # A quantile of values is between that of their lower and that of their upper ends.
        return _at(level, [(low, n) for low, _, n in self.segments]), _at(level, [(high, n) for _, high, n in self.segments])

    def quantile(self, level: float) -> float | None:
        """The quantile, as if values were spread evenly within their buckets; None where there is no upper bound."""
        found = self.bounds_of(level)
        if found is None or math.isinf(found[1]):
            return None
        low, high = found
        wanted = level * sum(n for _, _, n in self.segments)
        for _ in range(60 if high > low else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self._below(middle) < wanted else (low, middle)
        return (low + high) / 2

    def _below(self, value: float) -> float:
        return sum(n * _share(value, low, high) for low, high, n in self.segments)


def _share(value: float, low: float, high: float) -> float:
    if value >= high:
        return 1.0
    return 0.0 if value <= low or math.isinf(high) else (value - low) / (high - low)


def _at(level: float, ends: list[tuple[float, float]]) -> float:
    wanted, passed = level * sum(n for _, n in ends), 0.0
    ordered = sorted(ends)
    for end, n in ordered:
        passed += n
        if passed > wanted:
            return end
    return ordered[-1][0]


def segments_of(bounds: Sequence[float], buckets: Sequence[float], least: float | None, most: float | None) -> list[Segment]:
    """The buckets as stretches of values. The first begins at the least value sent, else at 0 where all bounds are above."""
    start = least if least is not None else 0.0 if not bounds or bounds[0] > 0 else -math.inf
    edges = [start, *bounds, math.inf if most is None else most]
    found: list[Segment] = []
    for (low, high), n in zip(pairwise(edges), buckets, strict=False):
        if n > 0:
            from_ = low if least is None else max(low, least)
            to = high if most is None else min(high, most)
            found.append((from_, max(from_, to), n))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Cumulative:
    """A point of a series that counts from its `start` on; times in nanoseconds. A start at its own time is unknown."""

    kind: str
    start: int
    time: int
    value: float
    count: float
    bounds: Sequence[float]
    buckets: Sequence[float]


def since(before: Cumulative | None, point: Cumulative, *, from_ns: int) -> tuple[float, float, Sequence[float] | None]:
    """What a point adds to the one before it: total, count and buckets (None where they cannot be told).

    The first of a series counts whole when the series began after `from_ns`, else not at all: what it adds is not known.
    """
    whole = point.value, point.count, point.buckets
    if before is None:
        return whole if from_ns <= point.start < point.time else (0.0, 0.0, ())
    return whole if _is_reset(before, point) else (point.value - before.value, point.count - before.count, _less(before, point))


def _is_reset(before: Cumulative, point: Cumulative) -> bool:
    moved = before.start < point.start < point.time
    if moved and point.start >= before.time:
        return True
    fell = point.value < before.value if point.kind == "sum" else point.count < before.count
    # A sum may go up and down, which is no reset while its start stays.
    return fell and (moved or point.kind != "sum" or point.start >= point.time)


def _less(before: Cumulative, point: Cumulative) -> Sequence[float] | None:
    """The buckets less those before, whose bounds may be finer or fewer, as exponential ones grow."""
    if not point.buckets or not before.buckets:
        return point.buckets if not before.count else None if point.buckets else ()
    left = list(point.buckets)
    uppers = [*before.bounds, math.inf]
    for place, n in enumerate(before.buckets):
        is_below = place == 0 and point.kind == "exponential_histogram"
        at = 0 if is_below else sum(bound < uppers[place] for bound in point.bounds)
        left[min(at, len(left) - 1)] -= n
    return None if min(left) < 0 else left
