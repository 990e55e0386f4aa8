"""Whatever is asked in whatever order, counters say what the plainest ones say, and no minute holds more than its limit."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.limits.oracle import Oracle, agree
from tidemill.core.clock import FixedClock
from tidemill.models.limits.counting import Grant, Shortage
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.windows import Sliding
from tidemill.testing.limits import claim_of

SHAPES = (("minute", None), ("period", "month"), ("level", None))
NUMBERS = itertools.count()
ASK = st.tuples(st.just("ask"), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=3))
SETTLE = st.tuples(st.just("settle"), st.tuples(st.integers(0, 30), st.lists(st.integers(-3, 12), min_size=3, max_size=3)))
WAIT = st.tuples(st.just("wait"), st.floats(0, 70).map(lambda each: round(each, 2)))
STEPS = st.lists(st.one_of(ASK, ASK, SETTLE, WAIT), max_size=40)


def claims_of(asked, prefix):
    found = {}
    for which, amount in asked:
        shape, period = SHAPES[which % 3]
        found[which] = claim_of(f"{prefix}:{which}", amount, limit=10, shape=shape, period=period)
    return list(found.values())


async def play(counters, clock, steps, prefix):
    oracle = Oracle(clock)
    await counters.seed({f"{prefix}:1": 0})
    open_calls = []
    for what, value in steps:
        if what == "wait":
            clock.advance(seconds=value)
        elif what == "ask":
            claims = claims_of(value, prefix)
            found, expected = await counters.reserve(claims), oracle.reserve(claims)
            assert agree(found, expected)
            if isinstance(found, Grant):
                assert [each.used for each in found.standings] == [
                    oracle.count(each) for each in claims if each.meter.shape != "level"
                ]
                assert all(each.used <= each.meter.limit for each in found.standings)
                open_calls.append((found, expected))
            elif found.retry_after is not None and found.meter.shape == "minute":
                await check_retry(counters, clock, claims, found)
        elif open_calls:
            which, amounts = value
            grant, held = open_calls.pop(which % len(open_calls))
            used = list(amounts)[: len(grant.claims)]
            counts = await counters.settle(grant, used)
            oracle.settle(grant.claims, held, used)
            assert list(counts) == [oracle.settled(each) for each in grant.claims]
            assert all(each >= 0 for each in counts)


async def check_retry(counters, clock, claims, short):
    """One tick before the time that was said, the minute still has too little."""
    mine = [each for each in claims if each.meter == short.meter]
    if short.retry_after > 1.01:
        before = clock.ns
        clock.advance(seconds=short.retry_after - 1.01)
        assert isinstance(await counters.reserve(mine), Shortage)
        clock.ns = before


@settings(deadline=None, max_examples=300)
@given(STEPS)
def test_memory_agrees_with_the_oracle(steps):
    clock = FixedClock()
    asyncio.run(play(MemoryCounters(clock), clock, steps, "m"))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_server_agrees_with_the_oracle(valkey, steps):
    async def whole():
        from tidemill.models.limits.providers.valkey import ValkeyCounters

        clock = FixedClock()
        counters = ValkeyCounters(valkey.url, clock=clock, time=clock, timeout=10)
        await play(counters, clock, steps, f"o{next(NUMBERS)}")
        await counters.close()

    asyncio.run(whole())


@given(st.lists(st.tuples(st.floats(-200, 200), st.integers(0, 5)), max_size=60))
def test_a_clock_that_jumps_gives_nothing_away_when_it_goes_back(jumps):
    """Forward, at most what is a minute old is forgotten; backward, nothing is, and all of it is forgotten a minute later."""
    now, sliding = 1000.0, Sliding()
    for jump, amount in jumps:
        before, now = sliding.used, now + jump
        sliding.advance(now)
        if jump <= 0:
            assert sliding.used == before
        sliding.take(amount)
        assert sliding.used == sum(sliding.slots) >= 0
    sliding.advance(max(now, sliding.head) + 62)
    assert sliding.used == 0


@pytest.mark.parametrize("amount", [1, 10])
def test_what_never_fits_is_not_waited_for(amount):
    sliding = Sliding()
    sliding.advance(5.5)
    sliding.take(10)
    assert sliding.wait(amount, limit=10, now=5.5) == pytest.approx(60.5)
    assert sliding.wait(11, limit=10, now=5.5) is None
