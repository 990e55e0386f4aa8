"""What is read on every request is remembered until something is written, here or by another process."""

import asyncio
import contextlib
import threading

import anyio
import pytest
from sqlalchemy import text

from tidemill.store.database import Database
from tidemill.store.projects import ensure_project

pytestmark = pytest.mark.anyio


async def test_a_write_is_seen_by_the_next_remembered_read(database):
    readings = []

    def count(db):
        readings.append(db.execute(text("SELECT count(*) FROM projects")).scalar())
        return readings[-1]

    assert [await database.remember("projects", count) for _ in range(3)] == [0, 0, 0]
    assert len(readings) == 1
    for name in ("ebb", "flood"):
        await database.write(lambda db, name=name: ensure_project(db, name, now_ns=1))
        assert await database.remember("projects", count) == await database.remember("projects", count) == len(readings) - 1
    assert readings == [0, 1, 2]


async def test_of_many_at_once_one_reads_for_all(database):
    readings = []

    def count(db):
        readings.append(db.execute(text("SELECT count(*) FROM projects")).scalar())
        return readings[-1]

    for expected in range(3):
        found = await asyncio.gather(*(database.remember("projects", count) for _ in range(50)))
        assert set(found) == {expected}
        assert len(readings) == expected + 1
        await database.write(lambda db, name=f"tide-{expected}": ensure_project(db, name, now_ns=1))


async def test_one_that_fails_or_leaves_takes_nobody_with_it(database):
    reading, may = threading.Event(), threading.Event()
    readings = []

    def read(db):
        readings.append(1)
        if len(readings) == 1:
            reading.set()
            may.wait(30)
            raise LookupError
        return len(readings)

    first = asyncio.create_task(database.remember("projects", read))
    assert await asyncio.to_thread(reading.wait, 30)
    others = [asyncio.create_task(database.remember("projects", read)) for _ in range(5)]
    await anyio.lowlevel.checkpoint()
    others.pop().cancel()
    may.set()
    with pytest.raises(LookupError):
        await first
    assert all(each > 1 for each in await asyncio.gather(*others))


async def test_a_write_while_another_reads_is_seen_by_who_comes_after_it(database):
    reading, may = threading.Event(), threading.Event()
    readings = []

    def count(db):
        found = db.execute(text("SELECT count(*) FROM projects")).scalar()
        readings.append(found)
        if len(readings) == 1:
            reading.set()
            may.wait(30)
        return found

    first = asyncio.create_task(database.remember("projects", count))
    assert await asyncio.to_thread(reading.wait, 30)
    await database.write(lambda db: ensure_project(db, "ebb", now_ns=1))
    assert await database.remember("projects", count) == 1
    may.set()
    assert await first == 0


async def test_what_another_process_wrote_is_seen_within_a_second_and_nothing_is_read_for_nothing(postgres_url):
    readings = []

    def count(db):
        readings.append(db.execute(text("SELECT count(*) FROM projects")).scalar())
        return readings[-1]

    with contextlib.closing(Database.open(postgres_url)) as here, contextlib.closing(Database.open(postgres_url)) as there:
        assert [await here.remember("projects", count) for _ in range(50)] == [0] * 50
        assert len(readings) == 1
        await there.write(lambda db: ensure_project(db, "ebb", now_ns=1))
        with anyio.fail_after(1):
            while await here.remember("projects", count) == 0:
                await anyio.lowlevel.checkpoint()
        assert readings[-1] == 1


async def test_two_processes_on_one_file_see_what_the_other_wrote_within_a_second(tmp_path):
    readings = []

    def count(db):
        readings.append(db.execute(text("SELECT count(*) FROM projects")).scalar())
        return readings[-1]

    path = tmp_path / "meta.db"
    with (
        contextlib.closing(Database.open(path, has_others=True)) as here,
        contextlib.closing(Database.open(path, migrate=False, has_others=True)) as there,
    ):
        assert [await here.remember("projects", count) for _ in range(50)] == [0] * 50
        assert len(readings) == 1
        await there.write(lambda db: ensure_project(db, "ebb", now_ns=1))
        with anyio.fail_after(1):
            while await here.remember("projects", count) == 0:
                await anyio.lowlevel.checkpoint()
        await here.write(lambda db: ensure_project(db, "flood", now_ns=1))
        assert await here.remember("projects", count) == 2, "what it wrote itself is seen at once"
