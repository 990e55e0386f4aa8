"""A kit for the counters of limits."""

from __future__ import annotations

from tidemill.core.clock import FixedClock
from tidemill.models.limits.counting import Claim, Counters, Grant, Meter, Shape, Shortage, Unit, Unseeded
from tidemill.models.limits.windows import Period


def claim_of(
    name: str, amount: int, *, limit: int, shape: Shape = "minute", unit: Unit = "requests", period: Period | None = None
) -> Claim:
    """A claim on a meter of its own."""
    meter = Meter(key=name, subject=f"key/{name}", shape=shape, unit=unit, limit=limit, period=period)
    return Claim(meter=meter, key=name, amount=amount)


async def check_counters(counters: Counters, clock: FixedClock, *, prefix: str = "kit") -> None:
    """Minutes slide, periods are seeded and settled, levels are given back, and a refusal reserves nothing.

    `clock` is the one by which `counters` go; keys begin with `prefix`.
    """
    await _check_minutes(counters, clock, prefix)
    await _check_periods(counters, prefix)
    await _check_all_or_nothing(counters, prefix)


async def granted(counters: Counters, *claims: Claim) -> Grant:
    """Reserve, seeding with nothing what is not known yet."""
    found = await counters.reserve(claims)
    if isinstance(found, Unseeded):
        await counters.seed({each.key: 0 for each in found.claims})
        found = await counters.reserve(claims)
    assert isinstance(found, Grant), f"what fits is granted, not {found}"
    return found


async def refused(counters: Counters, *claims: Claim) -> Shortage:
    """Ask for what does not fit."""
    found = await counters.reserve(claims)
    assert isinstance(found, Shortage), f"what does not fit is refused, not {found}"
    return found


async def _check_minutes(counters: Counters, clock: FixedClock, prefix: str) -> None:
    def ask(amount: int) -> Claim:
        return claim_of(f"{prefix}:minute", amount, limit=10)

    first = await granted(counters, ask(6))
    assert [each.remaining for each in first.standings] == [4], "a grant says what is left"
    clock.advance(seconds=20)
    await granted(counters, ask(4))
    short = await refused(counters, ask(1))
    assert not short.gone, "a minute passes"
    assert short.retry_after is not None, "a refusal says when to come back"
    assert 39 <= short.retry_after <= 42, "the first slot leaves 61 seconds after it began"
    assert (await refused(counters, ask(11))).retry_after is None, "what never fits is not worth waiting for"
    await counters.settle(first, [2])
    await granted(counters, ask(4))
    clock.advance(seconds=short.retry_after)
    again = await granted(counters, ask(2))
    await counters.settle(again, [-5])
    assert (await refused(counters, ask(3))).used == 8, "nothing falls below what others used"
    clock.advance(seconds=200)
    await granted(counters, ask(10))


async def _check_periods(counters: Counters, prefix: str) -> None:
    def ask(amount: int) -> Claim:
        return claim_of(f"{prefix}:month", amount, limit=100, shape="period", unit="money", period="month")

    found = await counters.reserve([ask(1)])
    assert isinstance(found, Unseeded), "what was used before is asked for"
    await counters.seed({f"{prefix}:month": 40})
    await counters.seed({f"{prefix}:month": 30})
    held = await granted(counters, ask(50))
    assert [each.used for each in held.standings] == [90], "a seed only raises what is counted"
    assert not (await refused(counters, ask(20))).gone, "what others hold may be given back"
    assert list(await counters.settle(held, [55])) == [95], "what was used stays"
    assert (await refused(counters, ask(20))).gone, "what was used does not come back"
    assert await counters.settle(await granted(counters, ask(5)), [0]) == [95], "what was not used is given back"


async def _check_all_or_nothing(counters: Counters, prefix: str) -> None:
    def both(amount: int) -> tuple[Claim, Claim]:
        wide = claim_of(f"{prefix}:wide", amount, limit=100)
        return wide, claim_of(f"{prefix}:level", 1, limit=2, shape="level", unit="calls")

    first = await granted(counters, *both(1))
    await granted(counters, *both(1))
    short = await refused(counters, *both(1))
    assert (short.meter.unit, short.gone) == ("calls", False), "the meter that has too little is named"
    assert await counters.settle(first, [1, 0]) == [2, 1], "a level is given back"
    third = await granted(counters, *both(1))
    assert third.standings[0].used == 3, "a refusal reserves nothing, and a call counts once"
