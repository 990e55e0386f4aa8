"""How long a target takes: the peak-sensitive average by which targets are compared, and quantiles of what was seen lately."""

from __future__ import annotations

import math
from typing import Final

_KEPT: Final = 128
_FRESH: Final = 60.0  # seconds
_SORT_EVERY: Final = 8
_LEAST: Final = 8


class PeakEwma:
    """An average that jumps up at once and comes down slowly, with time constant `decay` in seconds.

    M. Shapira et al., Finagle's `PeakEwma` load metric (Twitter, 2015): a target that turned slow is left at the first sign of
    it, and comes back as the sign grows old.
    """

    __slots__ = ("_at", "_cost", "decay")

    def __init__(self, *, decay: float = 10.0) -> None:
        self.decay = decay
        self._cost = 0.0
        self._at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Note how long an attempt took."""
        if seconds >= self._cost:
            self._cost = seconds
        else:
            weight = self._weight(now)
            self._cost = self._cost * weight + seconds * (1 - weight)
        self._at = now

    def cost(self, now: float) -> float:
        """Seconds, less the longer nothing was seen; 0 before anything was."""
        return self._cost * self._weight(now)

    def _weight(self, now: float) -> float:
        return math.exp(-max(0.0, now - self._at) / self.decay)


class Recent:
    """The last 128 durations, of which those of the last minute count. Quantiles are not interpolated."""

    __slots__ = ("_next", "_seen", "_since", "_sorted", "_times", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._times: list[float] = []
        self._next = 0
        self._sorted: list[float] = []
        self._since = 0
        self._seen = -math.inf

    def observe(self, seconds: float, now: float) -> None:
        """Note a duration."""
        if len(self._values) < _KEPT:
            self._values.append(seconds)
            self._times.append(now)
        else:
            self._values[self._next] = seconds
            self._times[self._next] = now
            self._next = (self._next + 1) % _KEPT
        self._since += 1

    def quantile(self, share: float, now: float) -> float | None:
        """The duration that `share` (0 to 1) of them do not exceed; None while fewer than 8 are fresh."""
        if self._since >= _SORT_EVERY or now - self._seen > _FRESH / 8 or (self._since and len(self._sorted) < _LEAST):
            pairs = zip(self._values, self._times, strict=True)
            self._sorted = sorted(value for value, at in pairs if now - at <= _FRESH)
            self._since = 0
            self._seen = now
        if len(self._sorted) < _LEAST:
            return None
        return self._sorted[min(len(self._sorted) - 1, math.ceil(share * len(self._sorted)) - 1 if share > 0 else 0)]


class Latencies:
    """Both of one kind of duration: to the first token of streams, or to the end of whole answers."""

    __slots__ = ("average", "recent")

    def __init__(self) -> None:
        self.average = PeakEwma()
        self.recent = Recent()

    def observe(self, seconds: float, now: float) -> None:
        """Note a duration."""
        self.average.observe(seconds, now)
        self.recent.observe(seconds, now)
