"""Windows of time as state machines: the clock is given, nothing here reads one.

A minute slides: it is 61 slots of a second, so that no 60 seconds, wherever they begin, hold more than the limit; what was
used is forgotten 60 to 61 seconds later. Days and months are those of UTC. Each has a state of its own under its own id, so
that a clock that jumps forward and back again finds what was there.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, TypeAlias

Period: TypeAlias = Literal["day", "month", "total"]

SLOTS: Final = 61
_DAY_NS: Final = 86_400_000_000_000
_EPOCH: Final = dt.date(1970, 1, 1)


class Sliding:
    """What was used in the last minute. Times are seconds of one clock, which may jump."""

    __slots__ = ("head", "slots", "used")

    def __init__(self) -> None:
        self.head = 0
        self.used = 0
        self.slots: list[int] = [0] * SLOTS

    def advance(self, now: float) -> int:
        """Forget what is over a minute old; the slot that is filled now.

        When the clock went back the newest slot stays the one that is filled; by more than a minute, all that was used
        counts from now.
        """
        second = int(now)
        gap = second - self.head
        if gap <= 0:
            if gap < -SLOTS:
                self._move(second)
            return self.head
        if not self.used or gap >= SLOTS:
            self.slots = [0] * SLOTS if self.used else self.slots
            self.used = 0
        else:
            for slot in range(self.head + 1, second + 1):
                place = slot % SLOTS
                self.used -= self.slots[place]
                self.slots[place] = 0
        self.head = second
        return second

    def count(self, now: float) -> int:
        """What was used in the minute before now."""
        if int(now) != self.head:
            self.advance(now)
        return self.used

    def take(self, amount: int) -> int:
        """Count in the newest slot; which that is."""
        self.slots[self.head % SLOTS] += amount
        self.used += amount
        return self.head

    def settle(self, slot: int, *, reserved: int, used: int, now: float) -> int:
        """`correct`, at a time; what was used in the minute before it."""
        if int(now) != self.head:
            self.advance(now)
        self.correct(slot, reserved=reserved, used=used)
        return self.used

    def is_over(self, now: float) -> bool:
        """Whether nothing of it is within a minute of now."""
        return abs(int(now) - self.head) >= SLOTS

    def correct(self, slot: int, *, reserved: int, used: int) -> None:
        """Say what was used of what a slot reserved; never below 0. What went beyond counts now when the slot is gone."""
        more = max(0, used) - reserved
        if self.head - SLOTS < slot <= self.head:
            place = slot % SLOTS
            more = max(more, -self.slots[place])
            self.slots[place] += more
            self.used += more
        elif more > 0:
            self.take(more)

    def wait(self, amount: int, *, limit: int, now: float) -> float | None:
        """Seconds until `amount` more fits below `limit`; None when it never does."""
        if amount > limit:
            return None
        excess = self.used + amount - limit
        for slot in range(self.head - SLOTS + 1, self.head + 1):
            if excess <= 0:
                break
            excess -= self.slots[slot % SLOTS]
            if excess <= 0:
                return max(0.0, slot + SLOTS - now)
        return 0.0

    def _move(self, second: int) -> None:
        self.slots = [0] * SLOTS
        self.slots[second % SLOTS] = self.used
        self.head = second


class Spent:
    """What was used in one period, and what is held by calls that are not over."""

    __slots__ = ("held", "is_idle", "used")

    def __init__(self, used: int = 0) -> None:
        self.used = used
        self.held = 0
        self.is_idle = False

    def count(self, _now: float) -> int:
        """What is used or held."""
        self.is_idle = False
        return self.used + self.held

    def take(self, amount: int) -> int:
        """Hold more; there is but one slot."""
        self.held += amount
        return 0

    def settle(self, _slot: int, *, reserved: int, used: int, now: float) -> int:  # noqa: ARG002  (as `Sliding`)
        """Hold less, and say what was used of it; all that is used then."""
        self.held = max(0, self.held - reserved)
        self.used += max(0, used)
        return self.used

    def is_over(self, _now: float) -> bool:
        """Whether nobody asked since this was asked last, and nothing is held."""
        was_idle, self.is_idle = self.is_idle, True
        return was_idle and not self.held


class Level:
    """What is under way now."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0

    def count(self, _now: float) -> int:
        """How much."""
        return self.held

    def take(self, amount: int) -> int:
        """One more; there is but one slot."""
        self.held += amount
        return 0

    def settle(self, _slot: int, *, reserved: int, used: int, now: float) -> int:  # noqa: ARG002  (as `Sliding`)
        """One less; how much is under way then."""
        self.held = max(0, self.held - reserved)
        return self.held

    def is_over(self, _now: float) -> bool:
        """Whether nothing is under way."""
        return not self.held


def period_id(period: Period, now_ns: int) -> str:
    """Which day (`2026-11-21`) or month (`2026-11`) it is in UTC; empty for all time."""
    if period == "total":
        return ""
    text = (_EPOCH + dt.timedelta(days=now_ns // _DAY_NS)).isoformat()
    return text if period == "day" else text[:7]


def first_day(period: Period, now_ns: int) -> int:
    """The day on which the period began, in days since 1970-01-01."""
    day = now_ns // _DAY_NS
    if period == "day":
        return day
    return 0 if period == "total" else (_EPOCH + dt.timedelta(days=day)).replace(day=1).toordinal() - _EPOCH.toordinal()


def seconds_left(period: Period, now_ns: int) -> float | None:
    """Seconds until the next period; None for all time."""
    if period == "total":
        return None
    day = now_ns // _DAY_NS
    if period == "month":
        date = _EPOCH + dt.timedelta(days=day)
        day = (date.replace(day=28) + dt.timedelta(days=4)).replace(day=1).toordinal() - _EPOCH.toordinal() - 1
    return ((day + 1) * _DAY_NS - now_ns) / 1e9
