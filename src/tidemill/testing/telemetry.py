"""The kit for span stores: whatever implements `tidemill.telemetry.engine.protocol.Engine` passes it.

from tidemill.testing.telemetry import check_engine

async def test_mine(tmp_path):
    await check_engine(MyEngine(tmp_path))
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from msgspec.structs import replace

from tidemill.core.chat import Usage
from tidemill.core.errors import Unavailable
from tidemill.core.records import SpanRecord
from tidemill.telemetry.engine.protocol import Engine, Refused
from tidemill.telemetry.row import encode_row, encode_spans

_LONG: Final = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = {n:UInt64}"
_RUNNING: Final = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'"
_START_NS: Final = 1_790_000_000_000_000_000
_SECONDS: Final = 30.0
_SPAN: Final = SpanRecord(
    trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331", parent_id=None, name='a "name" \\ 潮', kind="llm",
    start_ns=_START_NS, end_ns=_START_NS + 5, project="kit", status="error", error="it broke\n", input={"messages": ["é"]},
    output="out", model="m", usage=Usage(input_tokens=3, output_tokens=2**40), cost=0.25, user="u", tags=("a", "b,c", "'"),
    attributes={"n": 1, "s": 'x\n"y"', "nested": {"k": [None, True]}}, resource={"service.name": "s"}, weight=2.5,
)  # fmt: skip


async def check_engine(engine: Engine) -> None:
    """Check an engine whose tables are empty; they hold spans of the project `kit` afterwards. Raises `AssertionError`."""
    await engine.warm()
    await _rows_come_back(engine)
    await _values_are_bound(engine)
    await _one_of_two_stays(engine)
    await _bad_rows_are_refused(engine)
    await _what_is_wrong_is_told(engine)
    await _a_long_question_holds_up_nothing(engine)


async def _rows_come_back(engine: Engine) -> None:
    block = encode_spans([_SPAN, replace(_SPAN, span_id="0" * 15 + "1", parent_id=_SPAN.span_id)])
    assert block is not None
    await engine.insert(block, is_block=True)
    await engine.insert(encode_row(replace(_SPAN, span_id="0" * 15 + "2")))
    names = list(orjson.loads(encode_row(_SPAN)))
    shown = [f"toUnixTimestamp64Nano({each})" if each in {"start", "received"} else each for each in names]
    sql = f"SELECT {', '.join(shown)} FROM spans WHERE project = {{p:String}} ORDER BY span_id"  # noqa: S608  (columns of ours)
    rows = await engine.query(sql, {"p": "kit"})
    assert len(rows) == 3, f"{len(rows)} of 3 spans came back"
    expected = orjson.loads(encode_row(_SPAN))
    found = dict(zip(names, rows[2], strict=True))
    wrong = {name for name in names if found[name] != expected[name]}
    assert not wrong, f"not as inserted: {', '.join(sorted(wrong))}"
    assert list(rows[1])[3:] == list(rows[2])[3:], "a line and a block give different rows"


async def _values_are_bound(engine: Engine) -> None:
    nasty = "' OR 1=1 -- {p:String} \\ \" \n 潮"
    answer = await engine.query("SELECT {a:String}, {b:Array(String)}, {n:Int64}", {"a": nasty, "b": [nasty, ""], "n": -5})
    assert [list(each) for each in answer] == [[nasty, [nasty, ""], -5]], "bound values do not come back as they are"


async def _one_of_two_stays(engine: Engine) -> None:
    for received, name in ((2, "later"), (1, "earlier")):
        await engine.insert(encode_row(replace(_SPAN, span_id="0" * 15 + "3", name=name), received_ns=_START_NS + received))
    rows = await engine.query("SELECT name FROM spans FINAL WHERE span_id = {s:String}", {"s": "0" * 15 + "3"})
    assert [list(each) for each in rows] == [["later"]], "of two rows of one span the one received last must stay"


async def _bad_rows_are_refused(engine: Engine) -> None:
    rows = encode_row(replace(_SPAN, span_id="0" * 15 + "4")) + b'\n{"trace_id": 5'
    try:
        await engine.insert(rows)
    except Refused as error:
        code = error.code
    else:
        raise AssertionError("rows that are no JSON were taken")
    assert code, "a refusal names ClickHouse's code"
    found = await engine.query("SELECT count() FROM spans WHERE span_id = {s:String}", {"s": "0" * 15 + "4"})
    assert found[0][0] == 0, "of refused rows none may be kept"


async def _what_is_wrong_is_told(engine: Engine) -> None:
    try:
        await engine.query("SELECT nothing FROM spans", {})
    except Unavailable as error:
        said = str(error)
    else:
        raise AssertionError("an unknown column was answered")
    assert "nothing" in said, "the engine's own words are passed on"


async def _a_long_question_holds_up_nothing(engine: Engine) -> None:
    asking = asyncio.create_task(engine.query(_LONG, {"n": 1}))
    async with asyncio.timeout(_SECONDS):
        while not (await engine.query(_RUNNING, {}))[0][0]:
            assert not asking.done(), "the long question ended at once"
        await engine.insert(encode_row(replace(_SPAN, span_id="0" * 15 + "5")))
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled(), "a cancelled question must end"
        while (await engine.query(_RUNNING, {}))[0][0]:
            """Until it is stopped in the engine too."""
