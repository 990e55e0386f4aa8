"""A latency as a place on a logarithmic scale, so that quantiles can be added up, weighted and taken back.

A place holds what lies within a factor of (1 + e) / (1 - e) of its neighbours, so a quantile read from places is within the
share e of a value that was there. Source: Masson, Rim and Lee, DDSketch (VLDB 2019), with an unbounded number of places.
"""

from __future__ import annotations

import math
from typing import Final

RELATIVE_ERROR: Final = 0.01
"""A quantile is off by at most this share of itself."""
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_STEP: Final = math.log(_GAMMA)
_LAST_NS: Final = 10**18  # 31 years


def place_of(value: float) -> int:
    """The place of a value (0 to 2**63 nanoseconds)."""
    return 0 if value <= 0 else 1 + math.ceil(math.log(min(value, _LAST_NS)) / _STEP)


def value_of(place: int) -> float:
    """The value in the middle of a place."""
    return 0.0 if place <= 0 else 2 * _GAMMA ** (place - 1) / (_GAMMA + 1)


def place_sql(column: str) -> str:
    """The same as `place_of`, of a column."""
    return f"toUInt16(if({column} = 0, 0, 1 + ceil(log(least({column}, {_LAST_NS})) / {_STEP!r})))"
