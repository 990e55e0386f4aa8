"""Spans that finish are handed on some at once, and none is left behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tidemill.telemetry.together import Together

pytestmark = pytest.mark.anyio


async def test_spans_wait_a_moment_and_go_on_in_their_order():
    came, all_came = [], asyncio.Event()

    def sink(record):
        came.append(record)
        if len(came) == 3:
            all_came.set()

    together = Together(sink)
    for each in "abc":
        together(each)
    assert came == []
    await asyncio.wait_for(all_came.wait(), 5)
    assert came == ["a", "b", "c"]


async def test_what_waits_is_handed_on_when_asked_at_the_end_and_from_other_threads_at_once():
    came = []
    together = Together(came.append)
    together("a")
    thread = threading.Thread(target=together, args=("b",))
    thread.start()
    thread.join()
    assert came == ["b"]
    together.hand_on()
    together("c")
    together.close()
    together("d")
    assert came == ["b", "a", "c", "d"]
