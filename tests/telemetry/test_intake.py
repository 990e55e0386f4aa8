"""Taking what others send: memory and time shared between projects, on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest

from telemetry.otlp_requests import START_NS, export, logs, span
from tidemill.core.clock import SystemClock
from tidemill.core.errors import Invalid, RateLimited, StorageFull
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.room import Room
from tidemill.telemetry.store import Telemetry
from tidemill.telemetry.turns import Turns

pytestmark = pytest.mark.anyio


def test_one_project_may_hold_half_and_leaves_room_for_another():
    room = Room(1000)
    with room.share("noisy") as noisy:
        for _ in range(10):
            noisy.grow(50)
        with pytest.raises(RateLimited) as refused:
            noisy.grow(50)
        assert refused.value.retry_after
        with room.share("quiet") as quiet:
            quiet.grow(200)
            with pytest.raises(RateLimited):
                noisy.grow(50)
            quiet.grow(50)
    assert (room.held, room.refused) == (0, 2)


def test_ten_greedy_projects_leave_room_for_an_eleventh():
    room = Room(1100)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(room.share(f"p{number}")) for number in range(11)]
        for _ in range(200):
            for each in opened[:10]:
                with contextlib.suppress(RateLimited):
                    each.grow(10)
        opened[10].grow(50)
        assert max(each.size for each in opened[:10]) - min(each.size for each in opened[:10]) <= 20
    assert room.held == 0


def test_a_weight_is_a_larger_share():
    room = Room(1000, weight=lambda project: 3.0 if project == "heavy" else 1.0)
    with room.share("heavy") as heavy:
        for _ in range(1000):
            with contextlib.suppress(RateLimited):
                heavy.grow(10)
        assert 740 <= heavy.size <= 760


async def test_turns_are_by_time_used_not_by_number_of_requests():
    turns, used = Turns(), Counter[str]()
    until = asyncio.get_running_loop().time() + 0.5

    async def work(project: str) -> None:
        while asyncio.get_running_loop().time() < until:
            async with turns.turn(project):
                end = asyncio.get_running_loop().time() + 0.001
                while asyncio.get_running_loop().time() < end:
                    pass
                used[project] += 1

    await asyncio.gather(*(work("noisy") for _ in range(20)), work("quiet"))
    assert used["quiet"] > 0.3 * used["noisy"]


async def test_a_cancelled_wait_passes_the_turn_on():
    turns = Turns()
    async with turns.turn("a"):
        waiting = asyncio.create_task(_one(turns))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), turns.turn("b"):
        pass


async def _one(turns: Turns) -> None:
    async with turns.turn("a"):
        pass


async def test_spans_are_there_once_however_often_they_are_sent(tmp_path):
    spans = [span(number, trace=9, parent=1 if number > 1 else None, attributes={"k": number}) for number in range(1, 501)]
    whole = export(*spans).SerializeToString()
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        taken = await asyncio.gather(*(intake.traces("p", whole, form="protobuf") for _ in range(4)))
        for begin in range(0, 500, 130):
            await intake.traces("p", export(*spans[begin : begin + 130]).SerializeToString(), form="protobuf")
        assert {each.rejected for each in taken} == {0}
        found = await telemetry.get_trace("p", f"{9:032x}")
        assert len(found["spans"]) == 500
        listed = await telemetry.list_traces("p", from_ns=START_NS - 10**9)
        assert [each["id"] for each in listed["items"]] == [f"{9:032x}"]
        assert (await telemetry.list_traces("other"))["items"] == []


async def test_what_is_odd_in_a_tree_can_still_be_read(tmp_path):
    odd = [
        span(1, trace=1, parent=99, name="of a parent that never comes", flags=0x301),
        span(2, trace=2, parent=3, name="two"), span(3, trace=2, parent=2, name="three"),  # a cycle
        span(4, trace=3, parent=4, name="its own parent"),
        span(5, trace=4, name="nul \0 in \0 name", attributes={"nul\0": "a\0b"}),
        span(6, trace=5, end_time_unix_nano=START_NS - 10**9),
    ]  # fmt: skip
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        await intake.traces("p", export(*odd).SerializeToString(), form="protobuf")
        found = {number: await telemetry.get_trace("p", f"{number:032x}") for number in range(1, 6)}
        assert {each["name"] for each in found[2]["spans"]} == {"two", "three"}
        assert [len(each["spans"]) for each in found.values()] == [1, 2, 1, 1, 1]
        assert found[4]["name"] == "nul \0 in \0 name"
        assert found[4]["spans"][0]["attributes"]["nul\0"] == "a\0b"
        assert found[5]["duration_ms"] == 0
        assert len((await telemetry.list_traces("p", from_ns=START_NS - 10**9))["items"]) >= 4


@pytest.mark.parametrize("span_first", [True, False])
async def test_what_was_said_in_a_log_record_is_read_with_its_span(tmp_path, span_first):
    answered = {"index": 0, "finish_reason": "stop", "message": {"content": "four metres"}}
    judged = {"gen_ai.evaluation.name": "groundedness", "gen_ai.evaluation.score.value": 0.5}
    said = logs(
        ("gen_ai.user.message", {"gen_ai.system": "x"}, {"content": "how deep is the tide?"}, 1, 2),
        ("gen_ai.choice", {"gen_ai.system": "x"}, answered, 1, 2),
        ("gen_ai.evaluation.result", judged, None, 1, 2),
    ).SerializeToString()
    made = export(span(2, attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})).SerializeToString()
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        steps = [lambda: intake.traces("p", made, form="protobuf"), lambda: intake.logs("p", said, form="protobuf")]
        for step in steps if span_first else steps[::-1]:
            assert (await step()).rejected == 0
            await telemetry.flush()
        (only,) = (await telemetry.get_trace("p", f"{1:032x}"))["spans"]
        assert only["kind"] == "llm"
        assert "how deep is the tide?" in str(only["input"])
        assert "four metres" in str(only["output"])
        assert "groundedness" in str(only)


async def test_a_full_disk_refuses_and_keeps_nothing_of_it(small_disk):
    async with Telemetry(small_disk) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        many = export(*(span(number, attributes={"k": "x" * 2000}) for number in range(1, 501))).SerializeToString()
        with pytest.raises(StorageFull):
            await intake.traces("p", many, form="protobuf")


async def test_a_hundred_thousand_tag_keys_do_not_fill_memory(tmp_path):
    psutil = pytest.importorskip("psutil")
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        before = psutil.Process().memory_info().rss
        for batch in range(100):
            spans = [
                span(batch * 100 + one + 1, trace=batch + 1, attributes={f"tag.{batch}.{one}.{key}": "v" for key in range(10)})
                for one in range(100)
            ]
            await intake.traces("p", export(*spans).SerializeToString(), form="protobuf")
        grown = psutil.Process().memory_info().rss - before
        assert grown < 100 * 2**20
        assert len((await telemetry.get_trace("p", f"{7:032x}"))["spans"]) == 100


async def test_a_request_that_cannot_be_read_takes_no_room(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        with intake.share("p") as share:
            share.grow(7)
            with pytest.raises(Invalid):
                await intake.traces("p", b"garbage", form="protobuf")
        assert intake.room.held == 0
