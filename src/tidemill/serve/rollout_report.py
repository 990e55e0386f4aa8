"""How a rollout does: each variant's failures, latency and feedback with their intervals, and how they differ. Pure.

Sources: Wilson 1927 for shares; Newcombe 1998, "Interval estimation for the difference between independent proportions"
(Statistics in Medicine 17, 873-890), method 10, for their difference; order statistics for quantiles (David and Nagaraja
2003, "Order Statistics", section 7.1), which assume nothing of the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

from tidemill.core.json import Json, JsonObject
from tidemill.store.feedback import Feedback
from tidemill.telemetry.questions.variants import VariantCounts

Interval: TypeAlias = tuple[float, float]
Verdict: TypeAlias = Literal["better", "worse", "undecided"]
QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p95": 0.95}
_LEAST: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """`successes` out of `n`, which say as much as `effective` independent ones would (None: `n`)."""

    successes: int
    n: int
    effective: float | None = None

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.successes / self.n if self.n else None

    def to_json(self) -> JsonObject:
        """`{"value", "interval", "n"}`; the interval is Wilson's, at 95 %."""
        return {"value": self.value, "interval": _listed(share_interval(self)), "n": self.n}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """Where a quantile of `n` values stands among them in order, from 1, and where its interval begins and ends."""

    at: int
    low: int | None
    high: int | None


def share_interval(share: Share) -> Interval | None:
    """Wilson's 95 % interval, by the effective number; None of nothing, and without the extra `eval`."""
    if not share.n or not _can_measure():
        return None
    from tidemill.evaluation.statistics import wilson_interval  # noqa: PLC0415  (SciPy, only when something is shown)

    n = share.n if share.effective is None else share.effective
    return wilson_interval(share.successes / share.n * n, n=n)


def share_difference(canary: Share, stable: Share) -> Interval | None:
    """The 95 % interval of the difference canary - stable of two independent shares (Newcombe's method 10)."""
    a, b = share_interval(canary), share_interval(stable)
    if a is None or b is None or canary.value is None or stable.value is None:
        return None
    down = math.hypot(canary.value - a[0], b[1] - stable.value)
    up = math.hypot(a[1] - canary.value, stable.value - b[0])
    difference = canary.value - stable.value
    return max(-1.0, difference - down), min(1.0, difference + up)


def clustered_share(counts: VariantCounts) -> Share:
    """The share of failed requests, where those of one asker are alike.

    The effective number is n over the design effect of the ratio estimator (Cochran 1977, "Sampling Techniques", section 9A),
    never above n. Where all or none failed nothing is known of how alike they are, and they count as wholly alike (Kish 1965).
    """
    n, errors, askers = counts.requests, counts.errors, counts.askers
    if not n:
        return Share(successes=0, n=0)
    share = errors / n
    alike = n * n / counts.requests_squared
    if errors in (0, n) or askers < _LEAST:
        return Share(successes=errors, n=n, effective=alike)
    spread = counts.errors_squared - 2 * share * counts.products + share * share * counts.requests_squared
    variance = spread * askers / (askers - 1) / (n * n)
    effective = share * (1 - share) / variance if variance > 0 else alike
    return Share(successes=errors, n=n, effective=min(float(n), effective))


def quantile_ranks(n: int, quantile: float, *, level: float = 0.95) -> Ranks:
    """The ranks of a quantile of `n` >= 1 values, and those between which it lies at `level`; None where `n` is too small.

    The number of values below the quantile is binomial, so [x(low), x(high)] covers it with P(low <= B < high).
    """
    at = max(1, math.ceil(quantile * n))
    if not _can_measure():
        return Ranks(at=at, low=None, high=None)
    from tidemill.evaluation.distributions import binomial_cdf  # noqa: PLC0415  (the same)

    tail = (1 - level) / 2
    low = _first(n, lambda k: binomial_cdf(k, n=n, p=quantile) > tail)
    high = _first(n, lambda k: binomial_cdf(k, n=n, p=quantile) >= 1 - tail) + 1
    return Ranks(at=at, low=low if low >= 1 else None, high=high if high <= n else None)


def feedback_summary(found: Sequence[Feedback]) -> JsonObject:
    """Thumbs as a share of up; the mean of each score (Student's interval); how many corrections and comments."""
    thumbs = thumbs_of(found)
    scores: dict[str, list[float]] = {}
    for each in found:
        if each.kind == "score" and isinstance(each.value, int | float):
            scores.setdefault(each.name, []).append(float(each.value))
    return {
        "thumbs_up": thumbs.to_json() if thumbs.n else None,
        "scores": {name: _mean_json(values) for name, values in sorted(scores.items())},
        "corrections": sum(each.kind == "correction" for each in found),
        "comments": sum(each.kind == "comment" for each in found),
    }


def thumbs_of(found: Sequence[Feedback]) -> Share:
    """How many thumbs are up, of how many."""
    thumbs = [each.value for each in found if each.kind == "thumbs"]
    return Share(successes=thumbs.count("up"), n=len(thumbs))


def difference_json(canary: Share, stable: Share, *, more_is_better: bool) -> JsonObject | None:
    """How the canary's share differs, with its interval and a verdict; None when one side has nothing."""
    interval = share_difference(canary, stable)
    if interval is None or canary.value is None or stable.value is None:
        return None
    return {
        "difference": canary.value - stable.value,
        "interval": _listed(interval),
        "verdict": _verdict(interval, more_is_better=more_is_better),
    }


def _verdict(interval: Interval, *, more_is_better: bool) -> Verdict:
    low, high = interval
    if low > 0:
        return "better" if more_is_better else "worse"
    if high < 0:
        return "worse" if more_is_better else "better"
    return "undecided"


def _mean_json(values: Sequence[float]) -> JsonObject:
    return {"value": math.fsum(values) / len(values), "interval": _listed(_mean_interval(values)), "n": len(values)}


def _mean_interval(values: Sequence[float]) -> Interval | None:
    if len(values) < _LEAST or not _can_measure():
        return None
    import numpy as np  # noqa: PLC0415  (the same)

    from tidemill.evaluation.statistics import t_interval  # noqa: PLC0415

    return t_interval(np.asarray(values))


def _can_measure() -> bool:
    return find_spec("numpy") is not None and find_spec("scipy") is not None


def _listed(interval: Interval | None) -> Json:
    return None if interval is None else list(interval)


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The smallest k in 0 .. n for which `holds`, which holds from there on."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
