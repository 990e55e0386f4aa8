"""How often a threshold gives the wrong answer: the cache played through over questions whose meanings are known."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from tidemill.core.chat import Vectors
from tidemill.core.errors import Invalid

_Z: Final = 1.959963984540054


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Of `questions` in their order `hits` found a kept one near enough, `false_hits` of them one that means something else.

    `low` and `high` bound the rate of false hits among hits: the Wilson score interval at 95 %; 0 and 1 without hits.
    """

    threshold: float
    questions: int
    hits: int
    false_hits: int
    low: float
    high: float


def measure(vectors: Vectors, meanings: Sequence[Hashable], *, thresholds: Sequence[float]) -> list[Measured]:
    """Ask one question after the other: each gets the nearest kept answer that is near enough, as it would, or keeps its own.

    `meanings` says of each question what it means; two are the same when theirs are equal. `thresholds` are cosines.
    """
    import numpy as np  # noqa: PLC0415  (a tenth of a second, which only this needs)

    if vectors.count != len(meanings) or not meanings:
        raise Invalid(f"there are {vectors.count} vectors of {len(meanings)} questions", hint="Give one vector a question.")
    matrix = np.frombuffer(vectors.data, dtype="<f4").reshape(vectors.count, -1)
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    cosines = matrix @ matrix.T
    found: list[Measured] = []
    for threshold in thresholds:
        kept: list[int] = [0]
        hits = wrong = 0
        for place in range(1, len(meanings)):
            row = cosines[place, kept]
            best = int(np.argmax(row))
            if float(row[best]) < threshold:
                kept.append(place)
                continue
            hits += 1
            wrong += meanings[kept[best]] != meanings[place]
        low, high = _wilson(wrong, hits)
        found.append(
            Measured(threshold=threshold, questions=len(meanings), hits=hits, false_hits=wrong, low=low, high=high)
        )  # fmt: skip
    return found


def _wilson(count: int, of: int) -> tuple[float, float]:
    """E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927."""
    if not of:
        return 0.0, 1.0
    rate, squared = count / of, _Z * _Z / of
    middle = rate + squared / 2
    spread = _Z * math.sqrt(rate * (1 - rate) / of + squared / of / 4)
    return max(0.0, (middle - spread) / (1 + squared)), min(1.0, (middle + spread) / (1 + squared))
