"""How often a threshold gives the wrong answer: the cache played through over questions whose meanings are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tidemill.core.chat import Vectors
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    import numpy as np

_Z: Final = 1.959963984540054


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Of `questions` in their order `hits` found a kept one near enough, `false_hits` of them one that means something else.

    `low` and `high` bound the rate of false hits among hits: the Wilson score interval at 95 %; 0 and 1 without hits. `saved`
    is what the hits had cost, in US dollars; None where that is not known.
    """

    threshold: float
    questions: int
    hits: int
    false_hits: int
    low: float
    high: float
    saved: float | None = None


def measure(
    vectors: Vectors, meanings: Sequence[Hashable], *, thresholds: Sequence[float], costs: Sequence[float] = ()
) -> list[Measured]:
    """Ask one question after the other: each gets the nearest kept answer that is near enough, as it would, or keeps its own.

    `meanings` says of each question what it means; two are the same when theirs are equal. `thresholds` are cosines; `costs` is
    what each question's answer cost, in US dollars.
    """
    if vectors.count != len(meanings) or not meanings:
        raise Invalid(f"there are {vectors.count} vectors of {len(meanings)} questions", hint="Give one vector a question.")
    return measure_by(vectors, lambda one, other: meanings[one] == meanings[other], thresholds=thresholds, costs=costs)


def measure_by_answers(
    vectors: Vectors, answers: Vectors, *, thresholds: Sequence[float], alike: float, costs: Sequence[float] = ()
) -> list[Measured]:
    """As `measure`, where nobody said what questions mean: two mean the same when the cosine of their answers is `alike`."""
    if vectors.count != answers.count or not vectors.count:
        raise Invalid(f"there are {answers.count} answers to {vectors.count} questions", hint="Give one answer a question.")
    near = cosines_of(answers) >= alike
    return measure_by(vectors, lambda one, other: bool(near[one, other]), thresholds=thresholds, costs=costs)


def cosines_of(vectors: Vectors) -> np.ndarray:
    """The cosine of each vector with each, (n, n)."""
    import numpy as np  # noqa: PLC0415  (a tenth of a second, which only this needs)

    matrix = np.frombuffer(vectors.data, dtype="<f4").reshape(vectors.count, -1)
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return matrix @ matrix.T


def measure_by(
    vectors: Vectors, is_same: Callable[[int, int], bool], *, thresholds: Sequence[float], costs: Sequence[float] = ()
) -> list[Measured]:
    """As `measure`, where `is_same` says by their places whether two questions mean the same."""
    import numpy as np  # noqa: PLC0415  (a tenth of a second, which only this needs)

    cosines = cosines_of(vectors)
    found: list[Measured] = []
    for threshold in thresholds:
        kept: list[int] = [0]
        hits = wrong = 0
        saved = 0.0
        for place in range(1, vectors.count):
            row = cosines[place, kept]
            best = int(np.argmax(row))
            if float(row[best]) < threshold:
                kept.append(place)
                continue
            hits += 1
            wrong += not is_same(kept[best], place)
            saved += costs[place] if costs else 0.0
        low, high = _wilson(wrong, hits)
        found.append(
            Measured(
                threshold=threshold, questions=vectors.count, hits=hits, false_hits=wrong, low=low, high=high,
                saved=saved if costs else None,
            )
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
