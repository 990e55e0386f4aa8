"""Under overload everybody gets a fair share, the least important is turned away first, and nobody waits past a bound."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.clock import SystemClock
from tidemill.core.errors import DeadlineExceeded, Overloaded
from tidemill.models.limits.fair import FairQueue
from tidemill.models.limits.queueing import Places

pytestmark = pytest.mark.anyio


def served(queue, asked, rounds):
    """Who goes in which order when each place is taken again as soon as it is free; `asked` are (flow, weight, priority)."""
    first, _ = queue.enter("first")
    for flow, weight, priority, times in asked:
        for _ in range(times):
            queue.enter(flow, weight=weight, priority=priority)
    order = []
    going = first
    for _ in range(rounds):
        going = queue.leave(going)
        if going is None:
            break
        order.append(going.flow)
    return order


def test_a_flow_that_asks_for_more_gets_no_more():
    order = served(FairQueue(capacity=1, most_waiting=1000), [("loud", 1, 0, 200), ("quiet", 1, 0, 20)], 40)
    assert Counter(order) == {"loud": 20, "quiet": 20}


@pytest.mark.parametrize(("weight", "priority", "share"), [(3, 0, 3), (1, 1, 2), (1, -2, 0.25)])
def test_shares_go_by_weight_and_priority(weight, priority, share):
    order = served(FairQueue(capacity=1, most_waiting=1000), [("a", weight, priority, 400), ("b", 1, 0, 400)], 300)
    counts = Counter(order)
    assert counts["a"] / counts["b"] == pytest.approx(share, rel=0.1)


def test_the_least_important_is_turned_away_first():
    queue = FairQueue(capacity=1, most_waiting=3)
    queue.enter("x")
    low, _ = queue.enter("a", priority=-1)
    older, _ = queue.enter("b")
    newer, _ = queue.enter("b")
    high, shed = queue.enter("c", priority=1)
    assert (shed, low.state, low.why, high.state) == (low, "shed", "full", "waits")
    usual, shed = queue.enter("d")
    assert (shed, newer.state, older.state, usual.state) == (newer, "shed", "waits", "waits")
    last, shed = queue.enter("e", priority=-1)
    assert (last.state, shed, queue.waiting) == ("shed", None, 3)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 4), st.integers(-2, 2)),
        st.tuples(st.just("leave"), st.integers(0, 50), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 50), st.just(0)),
    ),
    max_size=120,
)


@given(STEPS, st.integers(1, 3), st.integers(0, 5))
def test_bounds_hold_and_no_place_is_lost(steps, capacity, most):
    queue = FairQueue(capacity=capacity, most_waiting=most)
    tickets = []
    for what, number, priority in steps:
        if what == "enter":
            tickets.append(queue.enter(number, weight=number + 1, priority=priority)[0])
        elif tickets:
            ticket = tickets[number % len(tickets)]
            queue.leave(ticket) if what == "leave" else queue.drop(ticket, why="waited")
        states = Counter(each.state for each in tickets)
        assert (states["goes"], states["waits"]) == (queue.going, queue.waiting)
        assert queue.going <= capacity
        assert queue.waiting <= most
        assert not queue.waiting or queue.going == capacity


async def test_who_waits_goes_when_a_place_is_free():
    places = Places(capacity=1, most_waiting=5, most_wait=10, clock=SystemClock())
    first = await places.take("a", weight=1, priority=0, deadline=None)
    waiting = asyncio.create_task(places.take("b", weight=1, priority=0, deadline=None))
    await asyncio.sleep(0)
    assert not waiting.done()
    places.give_back(first)
    second = await waiting
    assert second.state == "goes"
    places.give_back(second)
    assert (places.queue.going, places.queue.waiting) == (0, 0)


async def test_who_waits_too_long_or_past_the_deadline_is_told():
    clock = SystemClock()
    places = Places(capacity=1, most_waiting=5, most_wait=0.02, clock=clock)
    await places.take("a", weight=1, priority=0, deadline=None)
    with pytest.raises(Overloaded, match="no place in 20ms") as refused:
        await places.take("b", weight=1, priority=0, deadline=None)
    assert refused.value.retry_after >= 1
    with pytest.raises(DeadlineExceeded):
        await places.take("b", weight=1, priority=0, deadline=clock.monotonic() + 0.005)
    assert places.queue.waiting == 0


async def test_who_leaves_while_waiting_frees_the_place_in_the_queue():
    places = Places(capacity=1, most_waiting=1, most_wait=10, clock=SystemClock())
    first = await places.take("a", weight=1, priority=0, deadline=None)
    waiting = asyncio.create_task(places.take("b", weight=1, priority=0, deadline=None))
    await asyncio.sleep(0)
    places.give_back(first)  # it was told to go, and leaves in the same moment
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (places.queue.going, places.queue.waiting) == (0, 0)


async def test_a_full_queue_turns_the_newest_of_the_loudest_away_at_once():
    places = Places(capacity=1, most_waiting=2, most_wait=10, clock=SystemClock())
    first = await places.take("x", weight=1, priority=0, deadline=None)
    loud = [asyncio.create_task(places.take("loud", weight=1, priority=0, deadline=None)) for _ in range(2)]
    await asyncio.sleep(0)
    quiet = asyncio.create_task(places.take("quiet", weight=1, priority=0, deadline=None))
    with pytest.raises(Overloaded, match="least important"):
        await loud[1]
    places.give_back(first)
    going = await loud[0]
    places.give_back(going)
    places.give_back(await quiet)
