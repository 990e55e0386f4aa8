"""Limits that are counted in one process for several: as exact as in one, and what a dead process held is free."""

from __future__ import annotations

import asyncio

import pytest

from tidemill.core.clock import FixedClock
from tidemill.core.errors import Unavailable
from tidemill.models.limits.asked import AskedCounters, KeptCounters
from tidemill.models.limits.counting import Grant, Shortage
from tidemill.models.limits.memory import MemoryCounters
from tidemill.testing.limits import check_counters, claim_of
from workers.linked import linked

pytestmark = pytest.mark.anyio


async def asked(counters: MemoryCounters) -> tuple[AskedCounters, object]:
    """Counters over a link, and the link's end that asks; when that goes, what it held is given back."""
    kept = KeptCounters(counters)
    asking, answering = await linked(kept.answer)
    answering._on_lost = kept.release
    return AskedCounters(ask=asking.ask, tell=asking.tell), asking


async def test_they_keep_the_promises_of_counters(request):
    clock = FixedClock()
    counters, link = await asked(MemoryCounters(clock))
    await check_counters(counters, clock, prefix=request.node.name)
    link.close()


async def test_two_that_ask_never_get_more_than_the_limit():
    shared = MemoryCounters(FixedClock())
    (one, first), (other, second) = await asked(shared), await asked(shared)
    found = await asyncio.gather(*(each.reserve([claim_of("minute", 1, limit=25)]) for each in (one, other) * 30))
    assert sum(isinstance(each, Grant) for each in found) == 25
    first.close()
    second.close()


async def test_what_one_held_that_has_gone_is_free_for_the_other():
    shared = MemoryCounters(FixedClock())
    (one, first), (other, second) = await asked(shared), await asked(shared)
    level = claim_of("level", 1, limit=2, shape="level", unit="calls")
    for _ in range(2):
        assert isinstance(await one.reserve([level]), Grant)
    assert isinstance(await other.reserve([level]), Shortage)
    first.close()
    async with asyncio.timeout(5):
        while not isinstance(await other.reserve([level]), Grant):  # noqa: ASYNC110  (what is asked is whether it is free)
            await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await one.reserve([level])
    second.close()


async def test_leave_that_nobody_waits_for_any_more_is_given_back():
    shared = MemoryCounters(FixedClock())
    counters, link = await asked(shared)
    level = claim_of("level", 1, limit=1, shape="level", unit="calls")
    asking = asyncio.create_task(counters.reserve([level]))
    await asyncio.sleep(0)  # it is on its way
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(5):
        while not isinstance(await counters.reserve([level]), Grant):  # noqa: ASYNC110  (the same)
            await asyncio.sleep(0)
    link.close()
