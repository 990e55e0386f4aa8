"""Spools that other processes write: all of what they acknowledged is shown by the one that owns the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry.spans import make_span
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.sampling import Tail
from tidemill.telemetry.spool.frames import encode_frame
from tidemill.telemetry.spool.handed import HandedSpool, HandingOver, handed_folders
from tidemill.telemetry.spool.segments import segment_path
from tidemill.telemetry.spool.spool import Spool
from tidemill.telemetry.store import Telemetry

pytestmark = pytest.mark.anyio
TESTS = str(Path(__file__).parents[1])
_WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from telemetry.spans import make_span
from tidemill.telemetry.store import Telemetry

async def main():
    telemetry = Telemetry(Path(sys.argv[1]), hands_over="worker-9")
    await telemetry.start()
    await telemetry.append([make_span(number) for number in range(50)])
    print("acknowledged", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class Others:
    """Another process, in this one."""

    def __init__(self, *those: Telemetry) -> None:
        self.those = those

    async def sync(self) -> None:
        for each in self.those:
            await each.sync()

    async def turn(self) -> None:
        for each in self.those:
            await each.turn()


async def names(telemetry: Telemetry) -> set[str]:
    return {item["name"] for item in (await telemetry.list_traces("p", limit=1000))["items"]}


async def test_nothing_behind_what_is_noted_is_read_before_the_writer_has_ended(tmp_path):
    handing = HandingOver(tmp_path, "worker-1")
    spool = Spool(handing.folder)
    await spool.append([make_span(0)])
    handed = HandedSpool(handing.folder)
    handed.look()
    assert not handed.read(handed.position()).payloads, "nothing was noted yet"
    handing.note(spool.durable)
    handed.look()
    assert len(handed.read(handed.position()).payloads) == 1
    assert not handed.is_over
    with segment_path(handing.folder, 1).open("ab") as file:
        file.write(encode_frame(b'{"name":"whole"}') + encode_frame(b"cut off")[:-3])
    handed.look()
    assert len(handed.read(handed.position()).payloads) == 1
    spool.close()
    handing.close()
    handed.look()
    assert handed.is_over
    batch = handed.read(handed.position())
    assert (len(batch.payloads), batch.damaged) == (2, {})
    handed.commit(batch.end)
    handed.remove()
    assert handed_folders(tmp_path) == []


async def test_what_others_took_is_part_of_the_answer_to_the_next_question(tmp_path):
    pytest.importorskip("chdb", reason="needs the extra analytics")
    async with (
        Telemetry(tmp_path, hands_over="worker-1") as one,
        Telemetry(tmp_path, hands_over="worker-2") as two,
        Telemetry(tmp_path, others=Others(one, two)) as owner,
    ):
        for number in range(6):
            (one, two, owner)[number % 3].sink(make_span(number))
            assert len(await names(owner)) == number + 1
        await owner.renew_spool()
        assert not [*(tmp_path / "spool").rglob("0*.spool")][3:], "what was projected is gone from every spool"
        assert owner.waiting().spool_bytes == 0


async def test_whole_traces_are_sampled_by_the_owner_whoever_took_their_spans(tmp_path):
    pytest.importorskip("chdb", reason="needs the extra analytics")

    class Sampled(Gate):
        def tail_of(self, project: str) -> Tail | None:
            return Tail(share=1.0, wait_seconds=0.0) if project == "p" else None

    async with (
        Telemetry(tmp_path, hands_over="worker-1", gate=Sampled()) as one,
        Telemetry(tmp_path, others=Others(one), gate=Sampled()) as owner,
    ):
        one.sink(make_span(1))
        await one.append([make_span(2)])
        async with asyncio.timeout(20):
            while await names(owner) != {"span 1", "span 2"}:  # noqa: ASYNC110  (it is decided by the clock)
                await asyncio.sleep(0)


async def test_what_a_killed_one_acknowledged_is_stored_by_whoever_owns_the_store_next(tmp_path):
    pytest.importorskip("chdb", reason="needs the extra analytics")
    killed = subprocess.run(  # noqa: ASYNC221  (nothing else is to be done meanwhile)
        [sys.executable, "-c", _WRITER, str(tmp_path)], capture_output=True, text=True, cwd=TESTS, check=False, timeout=60
    )
    assert (killed.returncode, killed.stdout) == (-9, "acknowledged\n"), killed.stderr
    async with Telemetry(tmp_path) as owner:  # a server of one process, after one of several
        assert len(await names(owner)) == 50
        await owner.flush()
    assert handed_folders(tmp_path / "spool") == []
