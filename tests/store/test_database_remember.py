"""What is read on every request is remembered until something is written, here or by another process."""

import contextlib

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
