"""The kernel two-sample statistic, for the observed labels and for any number of permuted ones at once.

Gretton, Borgwardt, Rasch, Schölkopf and Smola 2012, "A Kernel Two-Sample Test" (JMLR 13, 723-773): the unbiased MMD^2 of
their equation 3 with a Gaussian kernel, whose width is the median distance of the pooled rows. The kernel matrix is made once
and in tiles of its upper half, so that it is never held whole; for labels s in {0, 1} everything that MMD^2 needs is s'Ks and
s'K1, and these are matrix products over all labelings together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]

_TILE: Final = 1024
_MEDIAN_OF: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class MmdTest:
    """`statistic` is MMD^2, unbiased, so it may lie below 0; `p_value` counts the observed labeling among the permuted."""

    statistic: float
    p_value: float
    permutations: int


def mmd_test(x: Rows, y: Rows, *, permutations: int = 999, seed: int = 0) -> MmdTest:
    """Whether rows `x` (n, d) and `y` (m, d) come from one distribution. Both need at least two rows."""
    pooled = np.concatenate([x, y]).astype(np.float32, copy=False)
    labels = observed_and_permuted(len(x), len(y), permutations=permutations, seed=seed)
    found = mmd_statistics(pooled, labels, gamma=median_gamma(pooled, seed=seed))
    return MmdTest(statistic=float(found[0]), p_value=rank_p_value(found[0], found[1:]), permutations=permutations)


def observed_and_permuted(n: int, m: int, *, permutations: int, seed: int) -> Labels:
    """Labels (n + m, 1 + permutations): 1 for a row of the first sample. Column 0 is as observed, the first n rows."""
    observed = np.zeros((n + m, 1), dtype=np.float32)
    observed[:n] = 1
    return np.concatenate([observed, random_labels(n, m, draws=permutations, seed=seed)], axis=1)


def random_labels(n: int, m: int, *, draws: int, seed: int) -> Labels:
    """Labels (n + m, draws), each column with n ones at places drawn at random."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((draws, n + m), dtype=np.float32)
    places = np.argpartition(generator.random((draws, n + m), dtype=np.float32), n - 1, axis=1)[:, :n]
    np.put_along_axis(labels, places, np.float32(1), axis=1)
    return np.ascontiguousarray(labels.T)


def rank_p_value(observed: float, permuted: Values) -> float:
    """The share of labelings whose statistic is at least the observed one, which counts among them (Phipson and Smyth 2010)."""
    slack = 1e-6 * max(abs(float(observed)), float(np.abs(permuted).max(initial=0.0)))  # sums in another order differ a little
    return float((1 + (permuted >= observed - slack).sum()) / (1 + len(permuted)))


def median_gamma(rows: Rows, *, seed: int = 0) -> float:
    """1 / (2 s^2) for the median distance s of the rows, of a thousand drawn at random where there are more."""
    if len(rows) > _MEDIAN_OF:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _MEDIAN_OF, replace=False)]
    squared = _squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    middle = float(np.median(squared)) if squared.size else 0.0
    if middle <= 0:  # more than half of all pairs are the same
        positive = squared[squared > 0]
        middle = float(positive.mean()) if positive.size else 1.0
    return 1 / (2 * middle)


def mmd_statistics(rows: Rows, labels: Labels, *, gamma: float) -> Values:
    """MMD^2 of the rows (N, d) for each column of labels (N, P)."""
    count = len(rows)
    n = float(labels[:, 0].sum())
    m = count - n
    within = np.zeros(labels.shape[1])
    sums = np.zeros(count)
    for first, second, kernel in _tiles(rows, gamma):
        product = kernel @ labels[second]
        share = (labels[first] * product).sum(axis=0, dtype=np.float64)
        within += share if first == second else 2 * share
        sums[first] += kernel.sum(axis=1, dtype=np.float64)
        if first != second:
            sums[second] += kernel.sum(axis=0, dtype=np.float64)
    touching = sums @ labels
    across = touching - within
    rest = sums.sum() - 2 * touching + within
    return within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)


def witness(rows: Rows, labels: npt.NDArray[np.float32], *, gamma: float) -> Values:
    """For each row, its mean kernel with the second sample less that with the first: large where the second is denser."""
    second = (1 - labels) / max(1.0, float((1 - labels).sum()))
    weights = (second - labels / max(1.0, float(labels.sum()))).astype(np.float32)
    found = np.zeros(len(rows))
    for first, other, kernel in _tiles(rows, gamma):
        found[first] += kernel @ weights[other]
        if first != other:
            found[other] += kernel.T @ weights[first]
    return found


def _tiles(rows: Rows, gamma: float) -> Iterator[tuple[slice, slice, Rows]]:
    """The upper half of the kernel matrix in tiles, with 0 for each row against itself."""
    edges = [slice(start, min(start + _TILE, len(rows))) for start in range(0, len(rows), _TILE)]
    for place, first in enumerate(edges):
        for second in edges[place:]:
            kernel = _squared_distances(rows[first], rows[second])
            kernel *= np.float32(-gamma)
            np.exp(kernel, out=kernel)
            if first == second:
                np.fill_diagonal(kernel, 0)
            yield first, second, kernel


def _squared_distances(a: Rows, b: Rows) -> Rows:
    squared = a @ b.T
    squared *= np.float32(-2)
    squared += (a * a).sum(axis=1)[:, None]
    squared += (b * b).sum(axis=1)[None, :]
    return np.maximum(squared, 0, out=squared)
