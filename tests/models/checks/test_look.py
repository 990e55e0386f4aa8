"""One look at a text: what is found, what fails, what never ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import anyio.to_thread
import pytest

from tidemill.core.errors import Unavailable
from tidemill.models.checks import look as looking
from tidemill.models.checks.guardrail import Guardrail
from tidemill.models.checks.look import look, redacted, spans_of, spread

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nobody_was_late(monkeypatch):
    monkeypatch.setattr(looking, "_late", {})


def guardrail(find, **fields):
    given = {"ref": "guardrail/g", "digest": "d", "point": "output", "action": "redact", **fields}
    return Guardrail(find=find, **given)


def finding(*findings):
    async def find(text):
        return findings

    return find


async def test_findings_of_all_are_replaced_and_those_that_overlap_once():
    one = guardrail(finding((0, 3, "A"), (8, 10, "B")))
    other = guardrail(finding((2, 5, "C"), (9, 99, "D"), (7, 7, "empty")), replacement="*")
    spans = spans_of(await look((one, other), "0123456789"))
    assert redacted("0123456789", spans) == "[A]567[B]"
    assert spread(["012", "3456", "789"], spans) == ["[A]", "56", "7[B]"]


async def test_what_fails_is_refused_unless_the_policy_is_open():
    async def find(text):
        raise ZeroDivisionError(text)

    with pytest.raises(Unavailable, match="guardrail/g could not look at the text: ZeroDivisionError") as caught:
        await look((guardrail(find),), "the secret")
    assert "secret" not in str(caught.value)
    (found,) = await look((guardrail(find, on_error="open"),), "text")
    assert (found.findings, found.error) == ((), "ZeroDivisionError")


async def test_what_hangs_in_a_thread_is_given_up():
    let_go = threading.Event()

    async def wait(text):
        await anyio.to_thread.run_sync(let_go.wait)
        return ()

    try:
        (found,) = await look((guardrail(wait, on_error="open", timeout=0.02),), "text")
        with pytest.raises(Unavailable, match="longer than"):
            await look((guardrail(wait, timeout=0.02),), "text")
    finally:
        let_go.set()
    assert found.error == "it took longer than 0.02 s"


async def test_what_does_not_let_itself_be_stopped_is_counted_until_it_ends():
    done = asyncio.Event()

    async def stubborn(text):
        while not done.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await done.wait()
        return ()

    (found,) = await look((guardrail(stubborn, on_error="open", timeout=0.02),), "text")
    assert found.error == "it took longer than 0.02 s"
    (hung,) = looking._hung
    done.set()
    await hung
    assert not looking._hung


async def test_too_many_that_hang_are_not_added_to(monkeypatch):
    monkeypatch.setattr(looking, "_MOST_HUNG", 0)
    asked = []

    async def find(text):
        asked.append(text)
        return ()

    (found,) = await look((guardrail(find, on_error="open"),), "text")
    assert "have not ended" in found.error
    assert not asked


async def test_what_takes_too_long_again_and_again_is_left_alone_for_a_while():
    asked, does = [], ["hang"]

    async def find(text):
        asked.append(text)
        if does == ["hang"]:
            await asyncio.Event().wait()
        return ()

    slow = guardrail(find, digest="slow", on_error="open", timeout=0.02)
    for _ in range(3):
        await look((slow,), "text")
    (found,) = await look((slow,), "text")
    assert found.error == "it took too long 3 times in a row, and rests"
    assert len(asked) == 3
    does[:] = ["well"]
    while "slow" in looking._late:
        (found,) = await look((slow,), "text")
    assert found.error is None
    assert len(asked) == 4


async def test_who_leaves_takes_the_look_along():
    begun, gone = asyncio.Event(), asyncio.Event()

    async def find(text):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    task = asyncio.create_task(look((guardrail(find),), "text"))
    await begun.wait()
    task.cancel()
    await asyncio.wait((task,))
    await gone.wait()
    assert task.cancelled()
