"""Two-sample statistics of texts' features, each for many labelings at once. Pure; the null is that labels are exchangeable.

What is drawn is a text, so labels are permuted by text and never by word. Sources: Kolmogorov 1933 and Smirnov 1939 for
`Ranked`; Pearson 1900 for `Categories`, exact by Fisher 1935 where there are two; Phipson and Smyth 2010 for p-values by
permutation, in which the observed labeling counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidemill.monitor.mmd import Labels, Rows, Values, mmd_statistics, rank_p_value


class Feature(Protocol):
    """One property of N texts."""

    def statistics(self, labels: Labels) -> Values:
        """How much the two samples differ, for each column of labels (N, P); larger is more."""
        ...

    def p_values(self, labels: Labels, null: Values) -> Values:
        """The p-value of each column of labels, by rank among `null` (statistics of permuted labels) or exactly."""
        ...


def _by_rank(observed: Values, null: Values) -> Values:
    if len(observed) == 1:
        return np.array([rank_p_value(float(observed[0]), null)])
    ordered = np.sort(null)
    slack = 1e-6 * max(float(np.abs(observed).max(initial=0)), float(np.abs(null).max(initial=0)))
    above = len(null) - np.searchsorted(ordered, observed - slack, side="left")
    return np.asarray((1.0 + above) / (1.0 + len(null)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A number a text, by the largest distance of the two distribution functions (Kolmogorov-Smirnov); ties allowed."""

    values: npt.NDArray[np.float64]

    def statistics(self, labels: Labels) -> Values:
        """The largest distance, in [0, 1]; exact, so that equal distances are equal."""
        order = np.argsort(self.values, kind="stable")
        ordered = self.values[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        count, n = len(ordered), int(labels[:, 0].sum())
        below = np.cumsum(labels[order].astype(np.int64), axis=0)[ends]
        distance = np.abs(below * count - n * (ends[:, None] + 1)).max(axis=0)
        return np.asarray(distance / (n * (count - n)), dtype=np.float64)

    def p_values(self, labels: Labels, null: Values) -> Values:
        """By permutation."""
        return _by_rank(self.statistics(labels), null)


@dataclass(frozen=True, slots=True)
class Presence:
    """Which of V words a text holds, (N, V) of 0 and 1: the sum over words of the squared standardised difference in share."""

    words: Rows

    def statistics(self, labels: Labels) -> Values:
        """The sum; words that all or none of the texts hold say nothing."""
        share: Values = self.words.mean(axis=0, dtype=np.float64)
        varies = (share > 0) & (share < 1)
        if not varies.any():
            return np.zeros(len(labels.T))
        words, share = self.words[:, varies], share[varies]
        count, n = len(words), float(labels[:, 0].sum())
        held = labels.T @ words  # whole numbers, exact in 32 bits up to 16 million texts
        spread = share * (1 - share) * n * (count - n) / count
        found: Values = ((held - n * share) ** 2 / spread).sum(axis=1)
        return found

    def p_values(self, labels: Labels, null: Values) -> Values:
        """By permutation."""
        return _by_rank(self.statistics(labels), null)


@dataclass(frozen=True, slots=True)
class Categories:
    """One of C categories a text: Pearson's chi-square by permutation; with two categories Fisher's exact test."""

    members: Rows

    @classmethod
    def of(cls, names: Sequence[str] | npt.NDArray[np.int64]) -> Categories:
        """From each text's category."""
        _, places = np.unique(np.asarray(names), return_inverse=True)
        return cls(np.eye(int(places.max(initial=0)) + 1, dtype=np.float32)[places])

    def statistics(self, labels: Labels) -> Values:
        """Pearson's chi-square."""
        total: Values = self.members.sum(axis=0, dtype=np.float64)
        count, n = len(self.members), float(labels[:, 0].sum())
        expected = total * n / count
        spread = expected * (count - n) / count
        found: Values = ((labels.T @ self.members - expected) ** 2 / np.where(spread > 0, spread, 1)).sum(axis=1)
        return found

    def p_values(self, labels: Labels, null: Values) -> Values:
        """Exact for two categories, by permutation for more; 1 for one."""
        if self.members.shape[1] > 2:
            return _by_rank(self.statistics(labels), null)
        if self.members.shape[1] < 2:
            return np.ones(len(labels.T))
        first = labels.T @ self.members[:, 0]
        return fisher_table(int(labels[:, 0].sum()), len(self.members), int(self.members[:, 0].sum()))[first.astype(np.int64)]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector a text, by MMD^2 with a Gaussian kernel."""

    rows: Rows
    gamma: float

    def statistics(self, labels: Labels) -> Values:
        """MMD^2, unbiased."""
        return mmd_statistics(self.rows, labels, gamma=self.gamma)

    def p_values(self, labels: Labels, null: Values) -> Values:
        """By permutation."""
        return _by_rank(self.statistics(labels), null)


def fisher_table(n: int, total: int, marked: int) -> Values:
    """Fisher's two-sided p-value by how many of the `n` drawn from `total`, of which `marked` are marked, are marked.

    Shape (n + 1,); the sum of the probabilities of all outcomes that are no likelier. What cannot happen has 0.
    """
    from scipy import special  # noqa: PLC0415  (a third of a second)

    outcomes = np.arange(n + 1)
    possible = (outcomes <= marked) & (n - outcomes <= total - marked)
    log = np.full(n + 1, -np.inf)
    drawn = outcomes[possible]
    log[possible] = (
        special.gammaln(marked + 1) - special.gammaln(drawn + 1) - special.gammaln(marked - drawn + 1)
        + special.gammaln(total - marked + 1) - special.gammaln(n - drawn + 1)
        - special.gammaln(total - marked - n + drawn + 1)
        - special.gammaln(total + 1) + special.gammaln(n + 1) + special.gammaln(total - n + 1)
    )  # fmt: skip
    chance = np.exp(log)
    order = np.argsort(chance, kind="stable")
    summed = np.cumsum(chance[order])
    last = np.searchsorted(chance[order], chance * (1 + 1e-7), side="right") - 1
    return np.where(possible, np.minimum(1.0, summed[last]), 0.0)


def share_difference(reference: int, n: int, window: int, m: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of window / m - reference / n: Newcombe 1998, method 10 for independent proportions."""
    from tidemill.evaluation.statistics import wilson_interval  # noqa: PLC0415  (SciPy)

    low_a, high_a = wilson_interval(reference, n=n, level=level)
    low_b, high_b = wilson_interval(window, n=m, level=level)
    a, b = reference / n, window / m
    down = ((b - low_b) ** 2 + (high_a - a) ** 2) ** 0.5
    up = ((high_b - b) ** 2 + (a - low_a) ** 2) ** 0.5
    return max(-1.0, b - a - down), min(1.0, b - a + up)
