"""What an attempt may take, when this process itself comes late."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidemill.models.routed_time import Allowed, Lateness

pytestmark = pytest.mark.anyio


async def busy(turns: int, *, seconds: float) -> None:
    """Work that is short, on a loop that is held up in each of its turns."""
    for _ in range(turns):
        time.sleep(seconds)  # noqa: ASYNC251  (it is the loop that is to be late)
        await asyncio.sleep(0)


async def test_a_loop_that_is_late_is_not_held_against_the_work():
    with Allowed(0.2, Lateness()) as allowed:
        await busy(6, seconds=0.05)
    assert not allowed.was_too_busy


async def test_without_lateness_it_is_so_many_seconds():
    with pytest.raises(TimeoutError), Allowed(0.2, None):
        await busy(20, seconds=0.05)


async def test_it_is_never_more_than_twice_as_long_and_says_that_it_was_too_busy():
    began = time.monotonic()
    allowed = Allowed(0.3, Lateness())
    with pytest.raises(TimeoutError), allowed:
        await busy(400, seconds=0.05)
    assert time.monotonic() - began >= 0.6
    assert allowed.was_too_busy


async def test_a_provider_that_is_slow_is_given_up_and_nobody_else_is_blamed():
    lateness = Lateness()
    for _ in range(2):
        allowed = Allowed(0.1, lateness)
        with pytest.raises(TimeoutError), allowed:
            await asyncio.Event().wait()
        assert allowed.had >= 0.1


async def test_what_came_in_time_is_taken_though_the_loop_looks_after_it():
    here, there = asyncio.get_running_loop(), asyncio.Event()
    here.call_later(0.04, there.set)
    here.call_soon(time.sleep, 0.2)
    with Allowed(0.05, Lateness()):
        await there.wait()


async def test_who_cancels_the_work_is_obeyed():
    async def work():
        with Allowed(5, Lateness()):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
