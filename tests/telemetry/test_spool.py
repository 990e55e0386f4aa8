from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from telemetry.spans import make_span
from tidemill.core.errors import StorageFull, Unavailable
from tidemill.telemetry.engine.native import decode_blocks
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.spool.frames import decode_rows, encode_frame
from tidemill.telemetry.spool.segments import Position, segment_numbers, segment_path
from tidemill.telemetry.spool.spool import Spool

pytestmark = pytest.mark.anyio


def names(spool: Spool, start: Position = Position()) -> list[str]:  # noqa: B008  (immutable)
    found: list[str] = []
    while (batch := spool.read(start)).payloads:
        found += [str(row["name"]) for each in batch.payloads for row in rows_of(each)]
        start = batch.end
    return found


def rows_of(payload: bytes):
    rows = decode_rows(payload)
    return decode_blocks(rows.content) if rows.is_block else [orjson.loads(line) for line in rows.content.split(b"\n")]


async def test_appended_spans_are_read_in_order(tmp_path):
    spool = Spool(tmp_path)
    await spool.append([make_span(0), make_span(1)])
    spool.put(make_span(2))
    await spool.sync()
    assert names(spool) == ["span 0", "span 1", "span 2"]
    spool.close()


async def test_rows_of_other_tables_go_with_the_spans(tmp_path):
    spool = Spool(tmp_path)
    spool.put(make_span(0))
    spool.put_rows("scores", [b'{"value":1}', b'{"value":2}'])
    spool.put(make_span(1))
    await spool.append_rows("marks", [b"{}"])
    found = [decode_rows(each) for each in spool.read(Position()).payloads]
    rows = [(each.table, row) for each in found if not each.is_block for row in each.content.split(b"\n")]
    assert [table for table, _ in rows] == ["spans", "scores", "scores", "spans", "marks"]
    assert rows[2] == ("scores", b'{"value":2}')
    with pytest.raises(ValueError, match="not the name of a table"):
        await spool.append_rows("spans; DROP", [b"{}"])
    spool.close()


async def test_segments_of_older_versions_are_read(tmp_path):
    with segment_path(tmp_path, 1).open("wb") as file:
        file.writelines(encode_frame(encode_row(make_span(number))) for number in range(2))
    spool = Spool(tmp_path)
    await spool.append([make_span(2)])
    assert names(spool) == ["span 0", "span 1", "span 2"]
    spool.close()


async def test_a_new_process_reads_on_after_the_committed_position(tmp_path):
    first = Spool(tmp_path)
    await first.append([make_span(0)])
    first.commit(first.read(first.position()).end)
    await first.append([make_span(1)])
    first.close()
    second = Spool(tmp_path)
    await second.append([make_span(2)])
    assert names(second, second.position()) == ["span 1", "span 2"]
    second.close()


async def test_projected_segments_go(tmp_path):
    spool = Spool(tmp_path, segment_bytes=1)
    for number in range(4):
        await spool.append([make_span(number)])
    assert len(segment_numbers(tmp_path)) == 4
    position = spool.position()
    while (batch := spool.read(position)).payloads:
        position = batch.end
    spool.commit(position)
    assert len(segment_numbers(tmp_path)) == 1
    await spool.append([make_span(9)])
    assert names(spool, spool.position()) == ["span 9"]
    spool.close()


async def test_many_writers_share_a_sync(tmp_path):
    spool = Spool(tmp_path)
    await asyncio.gather(*(spool.append([make_span(number)]) for number in range(300)))
    assert sorted(names(spool)) == sorted(f"span {number}" for number in range(300))
    spool.close()


async def test_a_torn_tail_is_passed_over(tmp_path):
    first = Spool(tmp_path)
    await first.append([make_span(0)])
    await first.append([make_span(1)])
    first.close()
    path = segment_path(tmp_path, segment_numbers(tmp_path)[0])
    os.truncate(path, path.stat().st_size - 5)
    second = Spool(tmp_path)
    await second.append([make_span(2)])
    assert names(second) == ["span 0", "span 2"]
    second.close()


async def test_a_damaged_frame_loses_only_itself_and_is_counted(tmp_path):
    first = Spool(tmp_path)
    for number in range(3):
        await first.append([make_span(number)])
    first.close()
    path = segment_path(tmp_path, segment_numbers(tmp_path)[0])
    content = bytearray(path.read_bytes())
    content[content.index(b"span 1")] ^= 0xFF
    path.write_bytes(content)
    second = Spool(tmp_path)
    assert names(second) == ["span 0", "span 2"]
    assert second.read(Position()).skipped > 0
    second.close()


@pytest.mark.parametrize("note", [b"", b"{", b'{"segment": "x"}', b"[]", b'{"segment": 9, "offset": 0, "check": 1}'])
async def test_a_damaged_position_sends_again_rather_than_losing(tmp_path, note):
    first = Spool(tmp_path)
    await first.append([make_span(0)])
    first.commit(first.read(first.position()).end)
    first.close()
    (tmp_path / "projected.json").write_bytes(note)
    second = Spool(tmp_path)
    assert names(second, second.position()) == ["span 0"]
    second.close()


async def test_a_span_larger_than_the_batch_is_read(tmp_path):
    spool = Spool(tmp_path)
    await spool.append([make_span(0, input="x" * 900_000), make_span(1, input="y" * 900_000)])
    batch = spool.read(Position(), limit=1000)
    assert len(batch.payloads) == 1
    assert len(spool.read(batch.end, limit=1000).payloads) == 1
    spool.close()


async def test_put_is_bounded_and_counts_what_it_drops(tmp_path):
    spool = Spool(tmp_path, limit_bytes=10)
    assert not spool.put(make_span(0))
    assert spool.dropped == 1
    spool.close()


async def test_a_closed_spool_refuses(tmp_path):
    spool = Spool(tmp_path)
    spool.close()
    assert not spool.put(make_span(0))
    with pytest.raises(Unavailable):
        await spool.append([make_span(0)])


async def test_close_writes_what_waits(tmp_path):
    spool = Spool(tmp_path)
    for number in range(50):
        spool.put(make_span(number))
    spool.close()
    assert len(names(Spool(tmp_path))) == 50


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from telemetry.spans import make_span
from tidemill.telemetry.spool.spool import Spool

async def main():
    spool = Spool(Path({folder!r}), segment_bytes=20_000)
    for number in range(1_000_000):
        await spool.append([make_span(number)])
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_acknowledged(tmp_path):
    script = WRITER.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(60)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    spool = Spool(tmp_path)
    found = names(spool)
    assert found[: len(acknowledged)] == [f"span {number}" for number in acknowledged]
    assert len(found) - len(acknowledged) <= 1
    spool.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_a_full_disk_says_so_keeps_what_it_took_and_goes_on(small_disk):
    spool = Spool(small_disk)
    ballast = small_disk / "ballast"
    await spool.append([make_span(0)])
    with pytest.raises(StorageFull, match="no room left"):
        await spool.append([make_span(number, input="x" * 10_000) for number in range(100, 200)])
    fill(ballast)
    spool.put(make_span(1, input="y" * 50_000))
    with pytest.raises(StorageFull):
        await spool.sync()
    assert isinstance(spool.problem, StorageFull)
    ballast.unlink()
    await spool.sync()
    assert spool.problem is None
    assert names(spool) == ["span 0", "span 1"]
    spool.close()


async def test_the_log_says_when_spans_are_lost_how_many_and_when_it_is_over(small_disk, caplog):
    spool = Spool(small_disk, limit_bytes=20_000)
    await spool.append([make_span(0)])
    ballast = small_disk / "ballast"
    fill(ballast)
    with pytest.raises(StorageFull):
        await spool.append([make_span(1, input="y" * 50_000)])
    taken = [spool.put(make_span(number, input="y" * 5000)) for number in range(2, 12)]
    assert 0 < taken.count(False) == spool.dropped
    with pytest.raises(StorageFull):
        await spool.append([make_span(1, input="y" * 50_000)])
    ballast.unlink()
    await spool.sync()
    said = [each.getMessage() for each in caplog.records if each.name == "tidemill.telemetry"]
    assert len(said) == 2, "not a line for each attempt"
    assert "no room left for spans" in said[0]
    assert "Requests go on" in said[0]
    assert f"{spool.dropped} spans or rows were lost meanwhile" in said[1]
    assert "again" in said[1]
    assert len(names(spool)) == 1 + taken.count(True)
    spool.close()
