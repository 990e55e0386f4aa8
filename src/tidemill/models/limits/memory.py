"""Counters in this process: exact here, unknown elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.clock import Clock
from tidemill.models.limits.counting import Claim, Grant, Meter, Shortage, Standing, Unseeded
from tidemill.models.limits.windows import SLOTS, Sliding, Spent, seconds_left

_SWEPT_EVERY: Final = 4096  # claims
_AGAIN: Final = 1.0  # seconds, when only what others hold is in the way


class MemoryCounters:
    """Belongs to one event loop. Minutes go by the monotonic clock, which does not jump; periods by their claims' keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sliding: dict[str, Sliding] = {}
        self._spent: dict[str, Spent] = {}
        self._levels: dict[str, int] = {}
        self._asked = 0

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none."""
        return self.reserve_now(claims)

    def reserve_now(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """The same, at once."""
        now = self._clock.monotonic()
        self._sweep(len(claims), now)
        missing = [each for each in claims if each.meter.shape == "period" and each.key not in self._spent]
        if missing:
            return Unseeded(claims=missing)
        counts: list[int] = []
        for claim in claims:
            used = self._used(claim, now)
            if used + claim.amount > claim.meter.limit:
                return self._shortage(claim, used, now, claims)
            counts.append(used + claim.amount)
        slots = [self._take(each, now) for each in claims]
        return Grant(claims=claims, standings=self._standings(claims, counts, now), slots=slots)

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to."""
        return self.settle_now(grant, used)

    def settle_now(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """The same, at once."""
        now = self._clock.monotonic()
        return [self._settle(claim, slot, now, each) for claim, slot, each in zip(grant.claims, grant.slots, used, strict=True)]

    async def seed(self, used: Mapping[str, int]) -> None:
        """Raise what is counted in each period to at least this."""
        self.seed_now(used)

    def knows(self, key: str) -> bool:
        """Whether a period is counted here."""
        return key in self._spent

    def seed_now(self, used: Mapping[str, int]) -> None:
        """The same, at once."""
        for key, amount in used.items():
            spent = self._spent.get(key)
            if spent is None:
                self._spent[key] = Spent(max(0, amount))
            else:
                spent.used = max(spent.used, amount)

    async def close(self) -> None:
        """Forget everything."""
        self._sliding.clear()
        self._spent.clear()
        self._levels.clear()

    def _used(self, claim: Claim, now: float) -> int:
        shape = claim.meter.shape
        if shape == "minute":
            sliding = self._sliding.get(claim.key)
            if sliding is None:
                return 0
            sliding.advance(now)
            return sliding.used
        if shape == "level":
            return self._levels.get(claim.key, 0)
        spent = self._spent[claim.key]
        spent.is_idle = False
        return spent.used + spent.held

    def _take(self, claim: Claim, now: float) -> int:
        shape = claim.meter.shape
        if shape == "minute":
            sliding = self._sliding.get(claim.key)
            if sliding is None:
                sliding = self._sliding[claim.key] = Sliding()
            slot = sliding.advance(now)
            sliding.add(claim.amount)
            return slot
        if shape == "level":
            self._levels[claim.key] = self._levels.get(claim.key, 0) + claim.amount
        else:
            self._spent[claim.key].held += claim.amount
        return 0

    def _settle(self, claim: Claim, slot: int, now: float, used: int) -> int:
        shape = claim.meter.shape
        if shape == "level":
            left = max(0, self._levels.pop(claim.key, 0) - claim.amount)
            if left:
                self._levels[claim.key] = left
            return left
        if shape == "period":
            spent = self._spent.get(claim.key)
            if spent is None:  # swept since: the next one to ask seeds it with what is kept
                return used
            spent.held = max(0, spent.held - claim.amount)
            spent.used += max(0, used)
            return spent.used
        sliding = self._sliding.get(claim.key)
        if sliding is None:
            sliding = self._sliding[claim.key] = Sliding()
        sliding.advance(now)
        sliding.correct(slot, reserved=claim.amount, used=used)
        return sliding.used

    def _shortage(self, claim: Claim, used: int, now: float, claims: Sequence[Claim]) -> Shortage:
        meter = claim.meter
        gone, wait = True, None
        if meter.shape == "minute":
            sliding = self._sliding.get(claim.key) or Sliding()
            gone, wait = False, sliding.wait(claim.amount, limit=meter.limit, now=now)
        elif claim.amount <= meter.limit:
            gone = meter.shape == "period" and self._spent[claim.key].used + claim.amount > meter.limit
            wait = self._reset(meter, now) if gone else _AGAIN
        standings = self._standings(claims, [self._used(each, now) for each in claims], now)
        return Shortage(meter=meter, used=used, amount=claim.amount, gone=gone, retry_after=wait, standings=standings)

    def _standings(self, claims: Sequence[Claim], counts: Sequence[int], now: float) -> Sequence[Standing]:
        """How each meter stands; of money nobody asks when it begins anew."""
        found: list[Standing] = []
        for claim, count in zip(claims, counts, strict=True):
            meter = claim.meter
            if meter.unit == "money":
                found.append(Standing(meter=meter, used=count))
            elif meter.shape != "level":
                found.append(Standing(meter=meter, used=count, reset=self._reset(meter, now)))
        return found

    def _reset(self, meter: Meter, now: float) -> float | None:
        if meter.period is None:
            return int(now) + SLOTS - now
        return seconds_left(meter.period, self._clock.now_ns())

    def _sweep(self, claims: int, now: float) -> None:
        """Now and then, forget minutes in which nothing was used, and periods nobody asked for: they are kept elsewhere."""
        self._asked += claims
        if self._asked < max(_SWEPT_EVERY, len(self._sliding)):
            return
        self._asked = 0
        second = int(now)
        for key in [key for key, each in self._sliding.items() if abs(second - each.head) >= SLOTS]:
            del self._sliding[key]
        for key in [key for key, each in self._spent.items() if each.is_idle and not each.held]:
            del self._spent[key]
        for each in self._spent.values():
            each.is_idle = True
