from __future__ import annotations

import asyncio
import json
import os
import secrets
import select
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from telemetry.spans import START_NS, make_span
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.errors import Invalid, NotFound, StorageFull, Unavailable
from tidemill.telemetry import Recorder
from tidemill.telemetry.expression import parse
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.spool.frames import Rows, encode_frame, encode_rows
from tidemill.telemetry.spool.segments import segment_numbers, segment_path
from tidemill.telemetry.spool.spool import Spool
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
async def telemetry(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        yield telemetry


def ends(process: int) -> bool:
    """Whether the process behind a descriptor ends soon."""
    ended, _, _ = select.select([process], [], [], 20)
    os.close(process)
    return bool(ended)


async def names(telemetry: Telemetry, **options) -> list[str]:
    return [item["name"] for item in (await telemetry.list_traces("p", **options))["items"]]


async def test_what_is_recorded_is_shown_at_once(telemetry):
    recorder = Recorder(telemetry.sink, ids=Ids(), clock=SystemClock())
    with recorder.trace("handbook", kind="chain", project="p", input={"question": "why?"}, tags=["t"]) as root:
        with root.child("answer", kind="llm", model="m", step="answer") as child:
            child.set(output="because", attributes={"gen_ai.request.model": "m", "n": 1})
        root.set(output="because")
    trace = await telemetry.get_trace("p", root.trace_id)
    assert (trace["id"], trace["input"], trace["output"], trace["tags"]) == (
        root.trace_id, {"question": "why?"}, "because", ["t"],
    )  # fmt: skip
    answer = trace["spans"][1]
    assert (answer["id"], answer["parent_id"], answer["model"]) == (child.span_id, root.span_id, "m")
    assert answer["attributes"] == {"gen_ai.request.model": "m", "n": 1}
    assert 0 < answer["duration_ms"] <= trace["duration_ms"]
    listed = (await telemetry.list_traces("p"))["items"]
    assert {key: trace[key] for key in trace if key != "spans"} == listed[0]


async def test_an_unfinished_trace_is_shown(telemetry):
    telemetry.sink(make_span(1, trace=0, parent=0, name="done already"))
    assert (await telemetry.get_trace("p", "0" * 32))["status"] == "unset"


async def test_a_trace_of_a_caller_is_listed(telemetry):
    recorder = Recorder(telemetry.sink, ids=Ids(), clock=SystemClock())
    with recorder.trace("t", kind="chain", project="p", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        pass
    assert await names(telemetry) == ["t"]


async def test_traces_by_part_of_their_id(telemetry):
    for number in (0xABC1 << 112 | 0x111, 0xABC2 << 112 | 0x222):
        telemetry.sink(make_span(0, trace=number))
    assert (await telemetry.get_trace("p", "ABC1"))["id"].startswith("abc1")
    assert (await telemetry.get_trace("p", "0222"))["id"].startswith("abc2")
    with pytest.raises(Invalid, match="several traces have abc: abc1"):
        await telemetry.get_trace("p", "abc")
    with pytest.raises(NotFound, match="no trace ffff"):
        await telemetry.get_trace("p", "ffff")
    with pytest.raises(NotFound):
        await telemetry.get_trace("other", "abc1")
    with pytest.raises(Invalid, match="not a trace id"):
        await telemetry.get_trace("p", "' OR 1=1")


async def test_a_list_has_pages_newest_first(telemetry):
    await telemetry.append([make_span(number // 2 * 2, trace=number) for number in range(7)])  # pairs start together
    whole = [item["id"] for item in (await telemetry.list_traces("p"))["items"]]
    assert whole == [f"{number:032x}" for number in reversed(range(7))]
    paged, cursor = [], None
    while True:
        page = await telemetry.list_traces("p", limit=2, cursor=cursor)
        paged += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == whole
    assert await names(telemetry, from_ns=START_NS + 2_000_000, to_ns=START_NS + 6_000_000) == [
        "span 4", "span 4", "span 2", "span 2",
    ]  # fmt: skip
    with pytest.raises(Invalid, match="not a cursor"):
        await telemetry.list_traces("p", cursor="x")
    with pytest.raises(Invalid, match="limit 0"):
        await telemetry.list_traces("p", limit=0)


@pytest.fixture
async def searched(telemetry):
    await telemetry.append(
        [
            make_span(
                0, name="one", input={"q": "a\nContext manager? What"}, output="Es ist ÜBER 潮汐発電 🌊", tags=("a", "b")
            ),
            make_span(
                1, trace=0, parent=0, kind="llm", model="m1", cost=0.5, tags=("a", "b"), attributes={"gen_ai.request.seed": 7}
            ),
            make_span(2, name="two", status="error", error="Connection refused", release="sha256:ff", end_ns=START_NS + 10**9),
            make_span(3, name="three", project="other", input="context manager"),
        ]
    )
    return telemetry


SEARCHES = {
    "context": ["one"], "MANAGER what": ["one"], "ncontext": [], "contex": [], "über": ["one"], "潮汐": ["one"],
    "🌊 context": ["one"], "refused": ["two"], "context refused": [], "one": ["one"], "' OR 1=1 --": [], ".*": [], "\\": [],
    "%": [], "{p:String}": [],
}  # fmt: skip
FILTERS = {
    "status=error": ["two"], "status!=error": ["one"], "tag=b": ["one"], "tag!=b": ["two"], "kind=llm cost>0.4": ["one"],
    "cost>0.5": [], "duration_ms>=500": ["two"], "release=sha256:ff": ["two"], "model=m1 status=ok": ["one"],
    "gen_ai.request.seed=7": ["one"], 'name=one "context manager"': ["one"], "status=error context": [],
    'name="\' OR 1=1"': [],
}  # fmt: skip


async def test_text_search(searched):
    assert {text: await names(searched, q=text) for text in SEARCHES} == SEARCHES
    found = {text: [span["name"] for span in await searched.search_spans("p", text)] for text in SEARCHES}
    assert found == SEARCHES


async def test_filters(searched):
    assert {text: await names(searched, filter=text) for text in FILTERS} == FILTERS


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("statsu=error", "unknown filter key 'statsu'", "status"),
        ("cost>much", "cost needs a number", "cost > 100"),
        ("cost>nan", "finite", ""),
        ("status>ok", "cannot be compared", "status=VALUE"),
        ('"open', "open quote", ""),
    ],
)
def test_a_wrong_filter_says_what_is_wrong(text, message, hint):
    with pytest.raises(Invalid, match=message) as caught:
        parse(text)
    assert hint in caught.value.hint


async def test_spans_sent_again_in_other_batches_count_once(tmp_path):
    spans = [make_span(number, trace=0, parent=0 if number else None, kind="llm", tokens_in=1) for number in range(20)]
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append(spans[:13])
        await telemetry.flush()
        await telemetry.append(spans[5:])
        await telemetry.flush()
        await telemetry.append(spans)
        trace = await telemetry.get_trace("p", "0" * 32)
        assert len(trace["spans"]) == 20
        assert trace["usage"]["input_tokens"] == 19
        assert (await telemetry.list_traces("p"))["items"][0]["usage"]["input_tokens"] == 19
        assert len(await telemetry.search_spans("p", "span")) == 20


async def test_a_lost_position_sends_again_and_nothing_counts_twice(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append([make_span(number) for number in range(5)])
        await telemetry.flush()
    (tmp_path / "spool" / "projected.json").unlink()
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append([make_span(5)])
        assert len(await names(telemetry)) == 6


async def test_the_store_killed_again_and_again_loses_and_doubles_nothing(telemetry):
    await telemetry.append([make_span(0)])
    await telemetry.flush()
    killed = set[int]()
    for number in range(1, 25):
        await telemetry.append([make_span(number)])
        if number % 10 == 0:
            killed.add(telemetry.engine_pid)
            os.kill(telemetry.engine_pid, signal.SIGKILL)
            assert len(await names(telemetry)) == number + 1
    assert len(killed) == 2
    assert sorted(await names(telemetry)) == sorted(f"span {number}" for number in range(25))


async def test_a_query_under_way_when_the_store_is_killed_is_answered(telemetry):
    await telemetry.append([make_span(number) for number in range(10)])
    await telemetry.flush()
    asking = [asyncio.create_task(names(telemetry)) for _ in range(5)]
    await asyncio.sleep(0)
    os.kill(telemetry.engine_pid, signal.SIGKILL)
    assert [len(each) for each in await asyncio.gather(*asking)] == [10] * 5


async def test_spans_spooled_by_a_killed_server_are_stored_after_the_next_start(tmp_path):
    spool = Spool(tmp_path / "spool")
    await spool.append([make_span(number) for number in range(3)])
    spool.close()
    async with Telemetry(tmp_path) as telemetry:
        assert len(await names(telemetry)) == 3
    assert segment_numbers(tmp_path / "spool") == []


async def test_a_row_that_the_store_cannot_read_holds_up_no_other(telemetry, tmp_path):
    await telemetry.append([make_span(0), make_span(1, trace=2**130), make_span(2)])
    assert sorted(await names(telemetry)) == ["span 0", "span 2"]
    assert telemetry.rejected == 1
    assert json.loads((tmp_path / "spool" / "rejected.jsonl").read_text())["name"] == "span 1"


class Waking(Gate):
    """Cannot look for what was erased at first, as while its database is away."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.errors = [error]

    async def screen(self, rows: Rows) -> Rows | None:
        if self.errors:
            raise self.errors.pop()
        return await super().screen(rows)


@pytest.mark.parametrize("error", [Unavailable("no database"), RuntimeError("a fault of ours")])
async def test_what_could_not_be_screened_is_stored_once_it_can(tmp_path, error):
    async with Telemetry(tmp_path, gate=Waking(error)) as telemetry:
        await telemetry.append([make_span(0)])
        assert await names(telemetry) == ["span 0"]
        assert telemetry.problem is None


async def test_a_damaged_segment_is_named_and_kept_and_the_rest_is_stored(tmp_path, caplog):
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        await spool.append([make_span(number)])
    spool.close()
    path = segment_path(tmp_path / "spool", segment_numbers(tmp_path / "spool")[0])
    content = bytearray(path.read_bytes())
    content[content.index(b"span 1")] ^= 0xFF
    path.write_bytes(content + b"\xf5TM")  # and a record whose rest was never written
    async with Telemetry(tmp_path) as telemetry:
        assert sorted(await names(telemetry)) == ["span 0", "span 2"]
        assert list(telemetry.waiting().damaged) == [path.name]
    assert path.name in caplog.text
    assert (tmp_path / "spool" / "damaged" / path.name).read_bytes() == content + b"\xf5TM"


async def test_a_segment_that_cannot_be_read_holds_up_no_other(tmp_path):
    spool = Spool(tmp_path / "spool")
    await spool.append([make_span(0)])
    spool.close()
    (tmp_path / "spool" / "000000000000.spool").mkdir()  # reading it is an error of the system
    async with Telemetry(tmp_path) as telemetry:
        assert await names(telemetry) == ["span 0"]
        assert list(telemetry.waiting().damaged) == ["000000000000.spool"]


async def test_a_record_of_an_unknown_kind_holds_up_no_other(tmp_path):
    (tmp_path / "spool").mkdir()
    segment_path(tmp_path / "spool", 1).write_bytes(
        encode_frame(b"\0what") + encode_rows("no_such_table", [b"{}"]) + encode_rows("spans", [encode_row(make_span(0))])
    )
    async with Telemetry(tmp_path) as telemetry:
        assert await names(telemetry) == ["span 0"]
        assert telemetry.rejected == 2


async def test_what_is_stored_and_what_waits_is_told(telemetry):
    await telemetry.append([make_span(number) for number in range(5)])
    await telemetry.flush()
    stored, waiting = await telemetry.stored(), telemetry.waiting()
    assert (stored.spans, stored.oldest_ns, stored.newest_ns) == (5, START_NS, START_NS + 4_000_000)
    assert stored.bytes > 0
    assert (waiting.spool_bytes, waiting.lag_seconds, waiting.problem) == (0, 0.0, None)


async def test_the_store_is_warm_where_spans_are_stored(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append([make_span(0)])
        await telemetry.flush()
    async with Telemetry(tmp_path) as telemetry:
        await telemetry._warming
        assert telemetry.engine_pid
        assert (await telemetry.stored(wake=False)).spans == 1


async def test_an_idle_store_ends_and_comes_back(tmp_path):
    async with Telemetry(tmp_path, idle_seconds=0.05) as telemetry:
        await telemetry.append([make_span(0)])
        await telemetry.flush()
        assert await asyncio.to_thread(ends, os.pidfd_open(telemetry.engine_pid))
        assert await names(telemetry) == ["span 0"]


SERVER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from telemetry.spans import make_span
from tidemill.telemetry.store import Telemetry

async def main():
    async with Telemetry(Path({folder!r})) as telemetry:
        await telemetry.append([make_span(0)])
        await telemetry.flush()
        await telemetry.append([make_span(1)])
        print(telemetry.engine_pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_server_leaves_no_orphan_and_loses_nothing(tmp_path):
    def run_and_kill() -> int:
        script = SERVER.format(tests=TESTS, folder=str(tmp_path))
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            child = os.pidfd_open(int(process.stdout.readline()))
            process.kill()
        return child

    assert await asyncio.to_thread(lambda: ends(run_and_kill()))
    async with Telemetry(tmp_path) as telemetry:
        assert sorted(await names(telemetry)) == ["span 0", "span 1"]


async def test_stop_keeps_what_was_not_stored_yet(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        for number in range(100):
            telemetry.sink(make_span(number))
    async with Telemetry(tmp_path) as telemetry:
        assert len(await names(telemetry, limit=200)) == 100


@pytest.mark.parametrize("small_disk", [16000], indirect=True)
async def test_a_full_disk_keeps_what_was_acknowledged(small_disk):
    acknowledged = 0

    async def append_until_full() -> None:
        nonlocal acknowledged
        while acknowledged < 1000:
            await telemetry.append([make_span(acknowledged, input=secrets.token_hex(60_000))])
            acknowledged += 1
            await telemetry.flush()

    async with Telemetry(small_disk) as telemetry:
        with pytest.raises(StorageFull, match="no room left"):
            await append_until_full()
        assert isinstance(telemetry.problem, StorageFull)
        await anyio.run_process(["mount", "-o", "remount,size=100m", str(small_disk)])
        await telemetry.append([make_span(acknowledged)])
        assert len(await names(telemetry, limit=1000)) == acknowledged + 1
        assert telemetry.problem is None
    assert acknowledged > 10
