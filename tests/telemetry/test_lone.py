"""Traces whose first span never came are listed like any other."""

from __future__ import annotations

import pytest

from telemetry.otlp_requests import START_NS, export, span
from tidemill.core.clock import FixedClock
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
HOUR_NS = 3_600_000_000_000
LATER_NS = START_NS + 20 * HOUR_NS
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small", "gen_ai.usage.input_tokens": 9}


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def store(tmp_path_factory):
    clock = FixedClock(ns=START_NS)
    async with Telemetry(tmp_path_factory.mktemp("lone")) as telemetry:
        intake = Intake(telemetry, clock=clock)
        at = START_NS
        sent = [
            span(1, trace=1, start_time_unix_nano=at + HOUR_NS),
            span(2, trace=1, parent=1, attributes=CALL, start_time_unix_nano=at + HOUR_NS + 1),
            span(3, trace=2, parent=99, name="lost parent", attributes=CALL, start_time_unix_nano=at + 2 * HOUR_NS),
            span(4, trace=2, parent=3, name="below", start_time_unix_nano=at + 2 * HOUR_NS + 5),
            span(5, trace=3, parent=6, name="ring a", start_time_unix_nano=at + 3 * HOUR_NS),
            span(6, trace=3, parent=5, name="ring b", start_time_unix_nano=at + 3 * HOUR_NS + 5),
            span(7, trace=4, parent=7, name="its own parent", start_time_unix_nano=at + 4 * HOUR_NS),
            # over the border of an hour, as windows are
            span(8, trace=5, parent=98, name="early", start_time_unix_nano=at + 5 * HOUR_NS),
            span(9, trace=5, parent=98, name="late", start_time_unix_nano=at + 6 * HOUR_NS, attributes={"session.id": "s"}),
            span(10, trace=6, start_time_unix_nano=at + 7 * HOUR_NS),
            span(11, trace=6, parent=10, name="a day later", start_time_unix_nano=at + 16 * HOUR_NS),
        ]
        await intake.traces("p", export(*sent).SerializeToString(), form="protobuf")
        await telemetry.flush()
        yield telemetry, intake, clock


async def names(telemetry, *, now_ns=LATER_NS, **asked):
    found, cursor = [], None
    for _ in range(50):
        page = await telemetry.list_traces("p", now_ns=now_ns, cursor=cursor, **asked)
        found += [int(each["id"], 16) for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


async def test_every_trace_is_listed_once_in_order(store):
    telemetry, *_ = store
    for limit in (1, 2, 3, 50):
        assert await names(telemetry, limit=limit) == [6, 5, 4, 3, 2, 1]


async def test_what_a_list_says_of_them(store):
    telemetry, *_ = store
    items = {int(each["id"], 16): each for each in (await telemetry.list_traces("p", now_ns=LATER_NS))["items"]}
    assert items[2]["name"] == "lost parent"
    assert items[2]["status"] == "unset"
    assert items[2]["usage"]["input_tokens"] == 9
    assert items[3]["name"] == "ring a"
    assert (await telemetry.get_trace("p", items[3]["id"]))["spans"][1]["depth"] == 1


async def test_filters_orders_and_bounds(store):
    telemetry, *_ = store
    assert await names(telemetry, filter='model = "small"') == [2, 1]
    assert await names(telemetry, filter='session = "s"') == [5]
    assert await names(telemetry, from_ns=START_NS + 3 * HOUR_NS, to_ns=START_NS + 5 * HOUR_NS) == [4, 3]
    assert set(await names(telemetry, order="-tokens")) == {1, 2, 3, 4, 5, 6}
    assert (await names(telemetry, order="-tokens"))[:2] == [2, 1]
    assert set(await names(telemetry, order="-latency")) == {1, 4, 6}  # a span that is its own parent is a first one


async def test_exported_too(store):
    telemetry, *_ = store
    lines = b"".join([piece async for piece in telemetry.export_traces("p", "jsonl", now_ns=LATER_NS)])
    assert lines.count(b"\n") == 6


async def test_one_that_may_still_come_waits_and_one_that_came_counts_once(store):
    telemetry, intake, clock = store
    begin = START_NS + 30 * HOUR_NS
    clock.ns = begin
    child = span(21, trace=21, parent=20, start_time_unix_nano=begin)
    await intake.traces("p", export(child).SerializeToString(), form="protobuf")
    await telemetry.flush()
    assert 21 not in await names(telemetry, now_ns=begin + 10**9)
    assert (await names(telemetry, now_ns=begin + 61 * 10**9))[0] == 21
    root = span(20, trace=21, name="came late", start_time_unix_nano=begin - 10**9)
    await intake.traces("p", export(root).SerializeToString(), form="protobuf")
    await telemetry.flush()
    listed = await names(telemetry, now_ns=begin + 61 * 10**9, limit=1)
    assert listed.count(21) == 1


async def test_a_thousand_without_a_first_span(store):
    telemetry, intake, _ = store
    spans = [
        span(number, trace=1000 + number, parent=1, start_time_unix_nano=START_NS - 50 * HOUR_NS + number)
        for number in range(2, 502)
    ]
    await intake.traces("many", export(*spans).SerializeToString(), form="protobuf")
    await telemetry.flush()
    found, cursor = [], None
    for _ in range(10):
        page = await telemetry.list_traces("many", now_ns=START_NS + 100 * HOUR_NS, cursor=cursor, limit=120)
        found += [int(each["id"], 16) for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert found == list(range(1501, 1001, -1))
