"""Spans in a backup: written while they come, put back with the same traces."""

from __future__ import annotations

import asyncio

import pytest

from telemetry.spans import make_span
from tidemill.core.errors import Invalid
from tidemill.core.settings import load_settings
from tidemill.store.database import Database
from tidemill.store.upkeep import Place, back_up, restore
from tidemill.telemetry.engine.backup import traces_for_backup
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio


def place(folder, *, made: bool) -> Place:
    settings = load_settings(folder, {}, data=folder / "data")
    found = Place.of(settings)
    if made:
        folder.joinpath("data").mkdir(parents=True)
        Database.open(folder / "data" / "meta.db").close()
    return found


async def all_of(telemetry: Telemetry):
    ids = [each["id"] for each in (await telemetry.list_traces("p", limit=500))["items"]]
    return [await telemetry.get_trace("p", each) for each in ids]


async def test_traces_are_in_a_backup_and_come_back_identical(tmp_path):
    here, there = place(tmp_path / "a", made=True), place(tmp_path / "b", made=False)
    async with Telemetry(tmp_path / "a" / "data") as telemetry:
        await telemetry.append([make_span(number, tags=("é", "b"), attributes={"n": number}, cost=0.5) for number in range(20)])
        await telemetry.append([make_span(20 + number, trace=3, parent=3, kind="llm", input="x" * 1000) for number in range(5)])
        before = await all_of(telemetry)

        async def go_on() -> None:
            for number in range(100, 1_000_000):
                await telemetry.append([make_span(number, project="other")])

        going = asyncio.create_task(go_on())
        async with traces_for_backup(here.data, telemetry) as traces:
            await asyncio.to_thread(back_up, here, tmp_path / "backup.zip", traces=traces)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
    assert not (here.data / "spans.backup").exists()
    await asyncio.to_thread(restore, there, tmp_path / "backup.zip")
    async with Telemetry(there.data) as telemetry:
        assert await all_of(telemetry) == before
    assert not (there.data / "spans.restore").exists()


async def test_a_backup_without_a_server_holds_what_was_only_spooled(tmp_path):
    here = place(tmp_path / "a", made=True)
    async with Telemetry(here.data) as telemetry:
        await telemetry.append([make_span(0)])
    async with traces_for_backup(here.data) as traces:
        await asyncio.to_thread(back_up, here, tmp_path / "backup.zip", traces=traces)
    content = bytearray((tmp_path / "backup.zip").read_bytes())
    await asyncio.to_thread(restore, here, tmp_path / "backup.zip", force=True)
    async with Telemetry(here.data) as telemetry:
        assert len(await all_of(telemetry)) == 1
    content[content.index(b"traces/spans") + 60] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(Invalid):
        await asyncio.to_thread(restore, here, tmp_path / "damaged.zip", force=True)
    async with Telemetry(here.data) as telemetry:
        assert len(await all_of(telemetry)) == 1


async def test_where_no_span_ever_was_there_is_nothing_to_write(tmp_path):
    async with traces_for_backup(tmp_path) as traces:
        assert traces is None
