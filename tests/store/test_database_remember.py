"""What is read on every request is remembered until something is written."""

import pytest
from sqlalchemy import text

from tidemill.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_write_is_seen_by_the_next_remembered_read(tmp_path):
    database = Database.open(tmp_path / "meta.db")
    readings = []

    def count(db):
        readings.append(db.execute(text("SELECT count(*) FROM projects")).scalar())
        return readings[-1]

    try:
        assert [await database.remember("projects", count) for _ in range(3)] == [0, 0, 0]
        assert len(readings) == 1
        for name in ("ebb", "flood"):
            await database.write(
                lambda db, name=name: db.execute(text("INSERT INTO projects VALUES (:name, 0)"), {"name": name})
            )
            assert await database.remember("projects", count) == await database.remember("projects", count) == len(readings) - 1
        assert readings == [0, 1, 2]
    finally:
        database.close()
