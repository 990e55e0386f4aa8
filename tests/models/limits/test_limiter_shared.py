"""Two servers over one database and one server of counters: a limit is one limit."""

from __future__ import annotations

import asyncio

import pytest

from models.limits.test_limiter import PRICED, Desk, database
from tidemill.core.chat import Usage
from tidemill.core.errors import BudgetExceeded, RateLimited, Unavailable
from tidemill.models.calls import Spent
from tidemill.models.limits.away import Guarded
from tidemill.models.limits.providers.valkey import ValkeyCounters

pytestmark = pytest.mark.anyio
__all__ = ["database"]


async def settled(*desks):
    for desk in desks:
        await asyncio.gather(*desk.limits._settling)


@pytest.fixture
async def desks(database, clock, own_valkey):
    made = [
        Desk(
            database,
            clock,
            Guarded(ValkeyCounters(own_valkey.url, clock=clock, time=clock, timeout=10), clock=clock, policy="open"),
        )
        for _ in range(2)
    ]
    yield made
    for each in made:
        await each.limits.close()


async def test_what_one_server_lets_through_the_other_does_not(desks):
    one, other = desks
    key = one.key(rpm=2, concurrency=2)
    first, second = await one.admit(key=key), await other.admit(key=key)
    with pytest.raises(RateLimited, match="requests a minute"):
        await one.admit(key=key)
    first.settle(Spent(usage=Usage(input_tokens=1), cost=0.0))
    second.undo()
    await settled(*desks)
    await other.spend(key=key)
    await settled(*desks)
    with pytest.raises(RateLimited):
        await other.admit(key=key)


async def test_a_budget_is_spent_together_warned_of_once_and_kept_when_the_counters_are_lost(desks, own_valkey, clock):
    one, other = desks
    one.say("money", "project", budget={"hard": "1/month", "soft": "50%"})
    for desk in (one, other, one):
        await desk.spend(cost=0.3, model=PRICED)
        await settled(desk)
    assert [each.used for desk in desks for each in desk.crossed] == [600_000_000]
    with pytest.raises(BudgetExceeded, match=r"\$0.90 of \$1.00"):
        await other.admit(model=PRICED, max_tokens=400_000)
    for desk in desks:
        await desk.limits.ledger.flush()
    own_valkey.stop()
    own_valkey.start()
    clock.advance(seconds=2)
    with pytest.raises(BudgetExceeded, match=r"\$0.90 of \$1.00"):
        await other.admit(model=PRICED, max_tokens=400_000)


async def test_a_server_of_counters_that_dies_loses_nothing_that_was_spent(desks, own_valkey, clock):
    one, _ = desks
    one.say("money", "project", budget="1/month")
    leave = await one.admit(model=PRICED)
    own_valkey.stop()
    leave.settle(Spent(usage=Usage(input_tokens=1), cost=0.6))
    await settled(one)
    await one.spend(cost=0.3, model=PRICED)
    own_valkey.start()
    clock.advance(seconds=2)
    with pytest.raises(BudgetExceeded, match=r"\$0.90 of \$1.00"):
        await one.admit(model=PRICED, max_tokens=400_000)


async def test_closed_says_that_the_limits_cannot_be_looked_at(database, clock, own_valkey):
    counters = ValkeyCounters(own_valkey.url, clock=clock, time=clock, timeout=10)
    desk = Desk(database, clock, Guarded(counters, clock=clock, policy="closed"))
    desk.say("all", "project", rpm=5)
    await desk.spend()
    await settled(desk)
    own_valkey.stop()
    with pytest.raises(Unavailable, match="cannot be looked at") as refused:
        await desk.admit()
    assert refused.value.retry_after == 1.0
    await desk.limits.close()
