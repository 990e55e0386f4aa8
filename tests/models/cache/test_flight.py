"""Identical requests at the same time, with real tasks that come, go and fail."""

from __future__ import annotations

import asyncio

import pytest

from tidemill.core.errors import RateLimited
from tidemill.models.cache.flight import Flights

pytestmark = pytest.mark.anyio


async def waiting(flights, count, *, key="k", patience=10.0):
    tasks = [asyncio.create_task(flights.wait(key, patience=patience)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_one_leads_and_all_get_its_answer():
    flights = Flights[str]()
    assert [flights.lead("k") for _ in range(3)] == [True, False, False]
    tasks = await waiting(flights, 20)
    flights.land("k", "answer")
    assert await asyncio.gather(*tasks) == [("answer",)] * 20
    assert flights.lead("k")


async def test_an_error_is_that_of_all_who_wait_and_of_nobody_else():
    flights = Flights[str]()
    flights.lead("k")
    tasks = await waiting(flights, 3)
    error = RateLimited("slow down", hint="wait", retry_after=2.0, kind="rate_limited")
    flights.fail("k", error)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(type(each), each.message, each.hint, each.retry_after, each.kind) for each in found] == [
        (RateLimited, "slow down", "wait", 2.0, "rate_limited")
    ] * 3
    assert len({id(each) for each in (*found, error)}) == 4
    assert flights.lead("k")


async def test_the_next_leads_when_the_leader_goes():
    flights = Flights[str]()
    flights.lead("k")
    first, second, third = await waiting(flights, 3)
    second.cancel()
    await asyncio.sleep(0)
    flights.hand_over("k")
    assert await first == "lead"
    flights.hand_over("k")
    assert await third == "lead"
    flights.hand_over("k")
    assert flights.lead("k")


async def test_whoever_goes_at_the_moment_of_its_turn_hands_it_on():
    flights = Flights[str]()
    flights.lead("k")
    first, second = await waiting(flights, 2)
    flights.hand_over("k")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "lead"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_nobody_waits_for_ever():
    flights = Flights[str]()
    flights.lead("k")
    (tired,) = await waiting(flights, 1, patience=0.01)
    assert await tired == "tired"
    flights.land("k", "answer")
