"""Counters in this process: exact here, unknown elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from tidemill.core.clock import Clock
from tidemill.models.limits.counting import Claim, Grant, Meter, Shortage, Standing, Unseeded
from tidemill.models.limits.windows import SLOTS, Level, Sliding, Spent, seconds_left

_SWEPT_EVERY: Final = 4096  # claims
_AGAIN: Final = 1.0  # seconds, when only what others hold is in the way
_Cell: TypeAlias = Sliding | Spent | Level


class MemoryCounters:
    """Belongs to one event loop. Minutes go by the monotonic clock, which does not jump; periods by their claims' keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cells: dict[str, _Cell] = {}
        self._asked = 0

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none."""
        return self.reserve_now(claims)

    def reserve_now(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """The same, at once."""
        now = self._clock.monotonic()
        self._asked += len(claims)
        if self._asked >= _SWEPT_EVERY:
            self._sweep(now)
        cells: list[_Cell] = []
        counts: list[int] = []
        short: Claim | None = None
        for claim in claims:
            cell = self._cells.get(claim.key) or self._made(claim)
            if cell is None:
                return Unseeded(claims=[each for each in claims if self._made(each) is None])
            count = cell.count(now) + claim.amount
            if count > claim.meter.limit and short is None:
                short = claim
            cells.append(cell)
            counts.append(count)
        if short is not None:
            return self._shortage(short, claims, counts, now)
        slots = [cell.take(claim.amount) for cell, claim in zip(cells, claims, strict=True)]
        return Grant(claims=claims, standings=self._standings(claims, counts, now), slots=slots)

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to."""
        return self.settle_now(grant, used)

    def settle_now(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """The same, at once."""
        now = self._clock.monotonic()
        found: list[int] = []
        for claim, slot, each in zip(grant.claims, grant.slots, used, strict=True):
            cell = self._cells.get(claim.key) or self._made(claim)
            # of a period that was swept since: the next one to ask seeds it with what is kept
            found.append(each if cell is None else cell.settle(slot, reserved=claim.amount, used=each, now=now))
        return found

    async def seed(self, used: Mapping[str, int]) -> None:
        """Raise what is counted in each period to at least this."""
        self.seed_now(used)

    def knows(self, key: str) -> bool:
        """Whether a period is counted here."""
        return key in self._cells

    def seed_now(self, used: Mapping[str, int]) -> None:
        """The same, at once."""
        for key, amount in used.items():
            spent = self._cells.get(key)
            if isinstance(spent, Spent):
                spent.used = max(spent.used, amount)
            else:
                self._cells[key] = Spent(max(0, amount))

    async def close(self) -> None:
        """Forget everything."""
        self._cells.clear()

    def _made(self, claim: Claim) -> _Cell | None:
        """Where a claim is counted; None for a period of which nothing is known."""
        cell = self._cells.get(claim.key)
        if cell is None and claim.meter.shape != "period":
            cell = self._cells[claim.key] = Sliding() if claim.meter.shape == "minute" else Level()
        return cell

    def _shortage(self, claim: Claim, claims: Sequence[Claim], counts: Sequence[int], now: float) -> Shortage:
        meter, cell = claim.meter, self._cells[claim.key]
        gone, wait = True, None
        if isinstance(cell, Sliding):
            gone, wait = False, cell.wait(claim.amount, limit=meter.limit, now=now)
        elif claim.amount <= meter.limit:
            gone = isinstance(cell, Spent) and cell.used + claim.amount > meter.limit
            wait = self._reset(meter, now) if gone else _AGAIN
        before = [count - each.amount for count, each in zip(counts, claims, strict=True)]
        standings = self._standings(claims, before, now)
        return Shortage(
            meter=meter, used=cell.count(now), amount=claim.amount, gone=gone, retry_after=wait, standings=standings
        )  # fmt: skip

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

    def _sweep(self, now: float) -> None:
        """Now and then, forget minutes in which nothing was used, and periods nobody asked for: they are kept elsewhere."""
        self._asked = -len(self._cells)
        for key in [key for key, each in self._cells.items() if each.is_over(now)]:
            del self._cells[key]
