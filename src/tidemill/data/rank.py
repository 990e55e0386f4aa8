"""The best of many scores, the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores: TypeAlias = NDArray[np.float32]
    Places: TypeAlias = NDArray[np.int64]
    Mask: TypeAlias = NDArray[np.bool_]

DIGITS = 6
"""Scores that agree to this many digits are equal: beyond it, the order of additions inside an engine would decide."""


def best(scores: Scores, places: Places, *, k: int) -> list[tuple[int, float]]:
    """The `k` largest scores with their places, best first; equal ones in the order of their places."""
    import numpy as np  # noqa: PLC0415  (heavy)

    rounded = np.round(scores, DIGITS)
    if len(rounded) > k:
        threshold = np.partition(rounded, len(rounded) - k)[len(rounded) - k]
        kept = np.flatnonzero(rounded >= threshold)
        rounded, places = rounded[kept], places[kept]
    order = np.lexsort((places, -rounded))[:k]
    return list(zip(places[order].tolist(), rounded[order].tolist(), strict=True))
