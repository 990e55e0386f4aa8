"""How long an attempt had. Time in which this process did not come to look is not held against whom it asks."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

_BEAT: Final = 0.02  # seconds between two measurements
_GRACE: Final = 0.02  # seconds: what lies in the socket when the time is over is read before the attempt is given up
MOST: Final = 2.0
"""How many times its seconds an attempt may take in all."""


class Lateness:
    """How much later than it should an event loop came to what was due, in all. Measured while somebody is asked.

    A loop that is busy, or a process that the machine leaves waiting, sees an answer late; from that alone nobody can tell
    whether the provider was slow.
    """

    __slots__ = ("_asking", "_due", "_timer", "_total")

    def __init__(self) -> None:
        self._asking = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._total = 0.0

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody is asked."""
        self._asking += 1
        if self._timer is None:
            self._arm(loop)

    def end(self) -> None:
        """Somebody is asked no more."""
        self._asking -= 1

    def total(self, now: float) -> float:
        """Seconds of lateness so far; `now` is the loop's time."""
        return self._total if self._timer is None else self._total + max(0.0, now - self._due)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _BEAT
        self._timer = loop.call_at(self._due, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._total += max(0.0, loop.time() - self._due)
        self._timer = None
        if self._asking:
            self._arm(loop)


class Allowed:
    """As `asyncio.timeout`, but lateness does not count: the work may take as much longer, up to twice `seconds`.

    Without `lateness` it is so many seconds and no more. `had` is how many of them the work really had, when it is over.
    """

    __slots__ = (
        "_before", "_began", "_cancelling", "_is_last", "_is_over", "_lateness", "_loop", "_seconds", "_task", "_timer", "had",
    )  # fmt: skip

    def __init__(self, seconds: float, lateness: Lateness | None) -> None:
        self._seconds = seconds
        self._lateness = lateness
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._began = self._loop.time()
        self._is_last = False
        self._is_over = False
        self.had = 0.0
        self._before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def was_too_busy(self) -> bool:
        """Whether the work was given up because this process had no time for it."""
        return self._is_over and self.had < self._seconds

    def __enter__(self) -> Self:
        if self._lateness is not None:
            self._lateness.begin(self._loop)
            self._before = self._lateness.total(self._began)
        self._timer = self._loop.call_at(self._began + self._seconds, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._lateness is not None:
            self._lateness.end()
        if not self._is_over or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look(self) -> None:
        now = self._loop.time()
        late = 0.0 if self._lateness is None else self._lateness.total(now) - self._before
        taken = now - self._began
        self.had = taken - late
        left = min(self._seconds + late, MOST * self._seconds) - taken
        if left > 0 or (self._lateness is not None and not self._is_last):
            self._is_last = left <= 0
            self._timer = self._loop.call_at(now + max(left, _GRACE), self._look)
            return
        self._timer = None
        self._is_over = self._task is not None and self._task.cancel()
