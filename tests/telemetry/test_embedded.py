"""The span store's process: it dies, hangs, is asked too much; what waits is answered or told, in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import orjson
import pytest

from telemetry.spans import make_span
from tidemill.core.errors import Unavailable
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.engine.protocol import Engine, EngineDied
from tidemill.telemetry.row import encode_row, encode_spans

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
LONG = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%system.processes%'"


@pytest.fixture
async def engine(tmp_path):
    engine = EmbeddedEngine(tmp_path / "spans", patience=2.0)
    await engine.warm()
    yield engine
    await engine.close()


async def count(engine: Engine, sql: str = "SELECT count() FROM spans") -> int:
    return int(str((await engine.query(sql, {}))[0][0]))


async def until(engine: Engine, running: int) -> None:
    async with asyncio.timeout(20):
        while await count(engine, RUNNING) < running or (not running and await count(engine, RUNNING)):
            pass


async def test_rows_as_lines_and_as_blocks_give_the_same(engine):
    spans = [
        make_span(number, tags=("a", "é"), attributes={"n": number, "s": 'x\n"'}, input={"q": "潮"}) for number in range(3)
    ]
    await engine.insert(b"\n".join(map(encode_row, spans)))
    columns = ", ".join(orjson.loads(encode_row(spans[0])))
    lines = await engine.query(f"SELECT {columns} FROM spans ORDER BY span_id", {})
    await engine.execute("TRUNCATE TABLE spans", {})
    await engine.insert(encode_spans(spans[:1]) + encode_spans(spans[1:]), is_block=True)
    assert await engine.query(f"SELECT {columns} FROM spans ORDER BY span_id", {}) == lines


async def test_long_queries_delay_neither_inserts_nor_other_queries(engine):
    asking = [asyncio.create_task(engine.query(LONG, {})) for _ in range(4)]
    await until(engine, running=4)
    async with asyncio.timeout(5):
        await engine.insert(encode_row(make_span(0)))
        assert await count(engine) == 1
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_a_query_whose_caller_went_away_is_stopped(engine):
    asking = asyncio.create_task(engine.query(LONG, {}))
    await until(engine, running=1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(engine, running=0)


async def test_queries_beyond_those_that_run_wait_their_turn_and_can_go_away(engine):
    asking = [asyncio.create_task(engine.query(LONG, {})) for _ in range(12)]
    done, _ = await asyncio.wait(asking, timeout=0.5)
    assert not done
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert await count(engine) == 0


async def test_a_question_that_takes_too_long_is_ended_by_the_engine(engine):
    with pytest.raises(Unavailable, match="took too long") as caught:
        await engine.query(LONG + " SETTINGS max_execution_time = 1", {})
    assert "Narrow it" in caught.value.hint


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_query_under_way_in_a_process_that_hangs_or_dies_is_answered(engine, how):
    await engine.insert(encode_row(make_span(0)))
    first, start = engine.pid, time.monotonic()
    asking = [asyncio.create_task(count(engine)) for _ in range(3)]
    await asyncio.sleep(0)
    os.kill(first, how)
    assert await asyncio.gather(*asking) == [1, 1, 1]
    assert engine.pid != first
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_an_insert_under_way_in_a_process_that_hangs_or_dies_is_told(engine, how):
    os.kill(engine.pid, how)
    with pytest.raises(EngineDied):
        await engine.insert(encode_row(make_span(0)))
    await engine.insert(encode_row(make_span(0)))
    assert await count(engine, "SELECT uniqExact(span_id) FROM spans") == 1


async def test_a_second_process_on_one_folder_is_refused(engine, tmp_path):
    other = EmbeddedEngine(tmp_path / "spans")
    with pytest.raises(Unavailable, match="another process uses"):
        await other.query("SELECT 1", {})
    await other.close()
    assert await count(engine) == 0


async def test_inserts_take_nothing_from_the_questions_that_wait_behind_them(engine):
    first = engine.pid

    async def insert() -> None:
        for number in range(20):
            await engine.insert(encode_spans([make_span(number)]), is_block=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(insert())
        for _ in range(20):
            group.create_task(count(engine))
        for number in range(20):
            group.create_task(engine.query("SELECT {n:UInt64}, repeat('x', 100)", {"n": number}))
    assert (engine.pid, await count(engine, "SELECT uniqExact(span_id) FROM spans")) == (first, 20)
