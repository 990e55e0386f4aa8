"""Threads for short work: what comes back, in which order they are woken, and what a cancelled caller leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextvars import ContextVar

import pytest

from tidemill.store.workers import Workers

pytestmark = pytest.mark.anyio
WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@pytest.fixture(params=[True, False], ids=["patient", "eager"])
def workers(request: pytest.FixtureRequest) -> Generator[Workers]:
    made = Workers(3, name="test-work", patient=request.param)
    yield made
    made.close()


async def test_each_caller_gets_its_own_answer(workers: Workers) -> None:
    found = await asyncio.gather(*(workers.run(lambda each=each: each * each) for each in range(500)))
    assert found == [each * each for each in range(500)]


async def test_an_error_goes_to_whoever_asked_and_the_thread_goes_on(workers: Workers) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
    assert await workers.run(lambda: 7) == 7


async def test_work_sees_the_context_of_its_caller(workers: Workers) -> None:
    token = WHO.set("ada")
    try:
        assert await workers.run(WHO.get) == "ada"
    finally:
        WHO.reset(token)
    assert await workers.run(WHO.get) == "nobody"


async def test_work_that_waits_does_not_hold_up_the_rest(workers: Workers) -> None:
    gate, other = threading.Event(), threading.Event()
    slow = [asyncio.ensure_future(workers.run(lambda wait=wait: wait.wait(20))) for wait in (gate, other)]
    assert await asyncio.wait_for(workers.run(lambda: "quick"), 10) == "quick"
    gate.set()
    other.set()
    assert await asyncio.gather(*slow) == [True, True]


async def test_never_more_threads_than_were_allowed(workers: Workers) -> None:
    three, names = threading.Barrier(3), set[str]()

    def work() -> None:
        names.add(threading.current_thread().name)
        three.wait(20)

    await asyncio.gather(*(workers.run(work) for _ in range(12)))
    assert names == {f"test-work-{number}" for number in (1, 2, 3)}


async def test_a_cancelled_caller_leaves_the_others_alone(workers: Workers) -> None:
    gate, begun, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(20)
        done.set()

    going = asyncio.ensure_future(workers.run(work))
    assert await asyncio.to_thread(begun.wait, 10)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    gate.set()
    assert await workers.run(lambda: 1) == 1
    assert done.wait(10)


async def test_a_closed_one_has_done_what_it_was_given_and_takes_nothing_more(workers: Workers) -> None:
    done: list[int] = []
    waiting = [asyncio.ensure_future(workers.run(lambda each=each: done.append(each))) for each in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(workers.close)
    await asyncio.gather(*waiting)
    assert sorted(done) == list(range(50))
    with pytest.raises(RuntimeError, match="closed"):
        await workers.run(lambda: 1)


def test_event_loops_one_after_the_other(workers: Workers) -> None:
    for number in range(3):
        assert asyncio.run(workers.run(lambda number=number: number)) == number
