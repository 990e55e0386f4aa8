"""A circuit breaker: a target that fails too often is left alone, then tried with a few probes before it is trusted again.

M. Nygard, Release It!, 2nd ed., 2018, section 5.2; the windowed failure share as in Hystrix and resilience4j. That the last one
is asked all the same is Envoy's panic threshold and Finagle's panic mode, held to a pace here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
_SLICES: Final = 10
_APART: Final = 0.5  # seconds between two attempts as the last resort
_SOON_APART: Final = 0.05  # seconds before the first of them


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerPolicy:
    """When a target is left alone, and for how long. Times in seconds.

    It opens when, within `window`, at least `failures` attempts failed and they are at least `share` of all. It stays open for
    `pause`, doubled each time that a probe fails, up to `longest`. Then up to `probes` attempts at a time may try it, and as
    many in a row must succeed.
    """

    failures: int = 5
    share: float = 0.5
    window: float = 30.0
    pause: float = 5.0
    longest: float = 60.0
    probes: int = 1


class Pass:
    """Leave to make one attempt. It is handed back exactly once, to `Breaker.succeeded`, `failed` or `abandoned`.

    A probe takes one of the few places of a breaker that is half open. `has_begun`: a first token has come.
    """

    __slots__ = ("epoch", "has_begun", "is_probe")

    def __init__(self, epoch: int, *, is_probe: bool) -> None:
        self.epoch = epoch
        self.is_probe = is_probe
        self.has_begun = False


class Breaker:
    """Closed: every attempt passes. Open: none does. Half open: as many at a time as there are probes.

    Who has nobody else to ask may ask as a last resort (`admit_last`) whatever the state: one attempt every half second, and
    anybody once a stream has begun there, unless it is streams that break off which opened it. The first that succeeds ends the
    pause: a target that was left alone by mistake is back within one answer, and one that is dead is hardly asked.

    An attempt that began before the last change of state says nothing of the state after it, and is not counted.
    `chance` (from 0 to 1) shortens a pause by up to a quarter, so that many processes do not come back together.
    """

    __slots__ = (
        "_bad", "_breaks_off", "_chance", "_epoch", "_good", "_is_promising", "_last_from", "_pause", "_probing", "_proven",
        "_slice", "_until", "policy",
    )  # fmt: skip

    def __init__(self, policy: BreakerPolicy, *, chance: Callable[[], float]) -> None:
        self.policy = policy
        self._chance = chance
        self._good = [0] * _SLICES
        self._bad = [0] * _SLICES
        self._slice = 0
        self._epoch = 0
        self._until: float | None = None
        self._pause = policy.pause
        self._probing = 0
        self._proven = 0
        self._breaks_off = False
        self._is_promising = False
        self._last_from = 0.0

    def state(self, now: float) -> BreakerState:
        """What it is at `now` (monotonic seconds)."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half_open"

    def wait(self, now: float) -> float:
        """Seconds until it may let somebody through: 0 when it does now, also while its probes are out."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def wait_last(self, now: float) -> float:
        """Seconds until it may be asked as the last resort."""
        return 0.0 if self._until is None or self._is_promising else max(0.0, self._last_from - now)

    @property
    def probing(self) -> int:
        """Probes that are out."""
        return self._probing

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures of the window."""
        self._turn(now)
        return sum(self._good), sum(self._bad)

    def admits(self, now: float) -> bool:
        """Whether `admit` would give a pass."""
        return self._until is None or (now >= self._until and self._probing < self.policy.probes)

    def admit(self, now: float) -> Pass | None:
        """Leave to make an attempt, or None."""
        if self._until is None:
            return Pass(self._epoch, is_probe=False)
        if not self.admits(now):
            return None
        self._probing += 1
        self._last_from = now + _APART
        return Pass(self._epoch, is_probe=True)

    def admit_last(self, now: float) -> Pass | None:
        """Leave to make an attempt for one who has nobody else to ask, or None."""
        if self._until is None:
            return Pass(self._epoch, is_probe=False)
        if self.wait_last(now) > 0:
            return None
        self._last_from = now + _APART
        return Pass(self._epoch, is_probe=False)

    def began(self, given: Pass) -> None:
        """The first token of a stream has come; how it ends is still to be seen."""
        given.has_begun = True
        if self._is_current(given) and self._until is not None:
            self._is_promising = not self._breaks_off

    def succeeded(self, given: Pass, now: float) -> None:
        """The attempt went well."""
        if not self._is_current(given):
            return
        if self._until is None:
            self._turn(now)
            self._good[self._slice % _SLICES] += 1
            return
        self._probing -= given.is_probe
        self._proven += 1
        self._is_promising = True
        self._until = min(self._until, now)
        if self._proven >= self.policy.probes:
            self._close()

    def failed(self, given: Pass, now: float) -> None:
        """The attempt failed by the target's fault."""
        if not self._is_current(given):
            return
        if self._until is not None:
            if given.is_probe or self._is_promising:
                self._breaks_off = given.has_begun
                self._pause = min(self.policy.longest, self._pause * 2)
                self._open(now)
            return
        self._turn(now)
        self._bad[self._slice % _SLICES] += 1
        bad = sum(self._bad)
        if bad >= self.policy.failures and bad >= self.policy.share * (bad + sum(self._good)):
            self._breaks_off = given.has_begun
            self._pause = self.policy.pause
            self._open(now)

    def abandoned(self, given: Pass) -> None:
        """The attempt ended without saying anything of the target: its caller left, or another was quicker."""
        if self._is_current(given) and given.is_probe:
            self._probing -= 1

    def _is_current(self, given: Pass) -> bool:
        return given.epoch == self._epoch

    def _open(self, now: float) -> None:
        self._until = now + self._pause * (1 - self._chance() / 4)
        self._last_from = max(self._last_from, now + _SOON_APART)
        self._change()

    def _close(self) -> None:
        self._until = None
        self._change()

    def _change(self) -> None:
        self._epoch += 1
        self._probing = 0
        self._proven = 0
        self._is_promising = False
        self._good = [0] * _SLICES
        self._bad = [0] * _SLICES

    def _turn(self, now: float) -> None:
        """Forget the slices of the window that lie behind."""
        current = int(now / self.policy.window * _SLICES)
        for each in range(max(self._slice, current - _SLICES) + 1, current + 1):
            self._good[each % _SLICES] = self._bad[each % _SLICES] = 0
        self._slice = max(self._slice, current)
