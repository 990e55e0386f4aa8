"""Which keys are worth a look: all that something is or is about to be kept under, whenever they are read."""

from __future__ import annotations

import pytest

from tidemill.models.cache.known import KnownKeys
from tidemill.store.database import Database
from tidemill.store.kept_answers import KeptAnswer, put_answers

pytestmark = pytest.mark.anyio


def kept(key, *, project="p"):
    return KeptAnswer(project=project, key=key, body=b"x", cost=None, created_ns=0, expires_ns=1)


@pytest.fixture
async def database(tmp_path):
    database = Database.open(tmp_path / "tidemill.db")
    yield database
    database.close()


async def test_what_is_kept_or_about_to_be_is_known_and_nothing_else(database):
    await database.tally(lambda db: put_answers(db, [kept("written"), kept("elsewhere", project="q")]))
    known = KnownKeys(database, pending=lambda: [("p", "pending"), ("q", "other")])
    assert await known.may_have("p", "written")
    assert await known.may_have("p", "pending")
    assert not await known.may_have("p", "elsewhere")
    assert not await known.may_have("p", "new")
    known.add("p", "new")
    assert await known.may_have("p", "new")


async def test_where_others_may_keep_more_every_key_is_worth_a_look(tmp_path):
    database = Database.open(tmp_path / "tidemill.db", has_others=True)
    try:
        assert await KnownKeys(database, pending=list).may_have("p", "new")
    finally:
        database.close()
