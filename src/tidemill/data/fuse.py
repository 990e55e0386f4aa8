"""Reciprocal rank fusion.

G. V. Cormack, C. L. A. Clarke, S. Buettcher: "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

K = 60


def fuse(rankings: Sequence[Sequence[int]], *, k: int = K) -> list[tuple[int, float]]:
    """Items with the sum of `1 / (k + rank)` over the rankings that hold them, best first; equal sums in the items' order.

    Each ranking lists items best first, none twice; ranks count from 1.
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] += 1 / (k + rank)
    return sorted(scores.items(), key=lambda each: (-round(each[1], 12), each[0]))
