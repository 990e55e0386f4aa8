"""What PostgreSQL does on a bad day: connections that end in the middle, a full disk; and that it goes on afterwards."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text

from tidemill.core.errors import StorageFull, Unavailable
from tidemill.store.database import Database
from tidemill.store.projects import create_project, list_projects

_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$
"""
_TRIGGER = "CREATE TRIGGER full_disk BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION full_disk()"


@pytest.fixture
def database(postgres_url):
    with contextlib.closing(Database.open(postgres_url)) as opened:
        yield opened


@pytest.fixture
def beside(postgres_url):
    """Run a statement over a connection of its own."""
    engine = create_engine(urlsplit(postgres_url)._replace(scheme="postgresql+psycopg").geturl(), isolation_level="AUTOCOMMIT")

    def run(statement):
        with engine.connect() as connection:
            return connection.execute(text(statement))

    yield run
    engine.dispose()


def end_all(beside):
    """End every other connection, as a restart of PostgreSQL does."""
    beside(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def make(name):
    return lambda db: create_project(db, name, now_ns=1, by="ann").name


def test_connections_that_ended_since_are_made_anew(database, beside):
    """Nobody who asks after a restart of PostgreSQL is told of it: neither who reads nor who writes."""
    database.write_sync(make("one"))
    assert database.read_sync(list_projects) == ("one",)
    end_all(beside)
    assert database.read_sync(list_projects) == ("one",)
    end_all(beside)
    assert database.write_sync(make("two")) == "two"
    assert database.read_sync(list_projects) == ("one", "two")


def test_a_connection_that_ends_in_the_middle_of_a_change_keeps_nothing_of_it(database, beside):
    def cut_off(db):
        create_project(db, "half", now_ns=1, by="ann")
        end_all(beside)
        create_project(db, "rest", now_ns=1, by="ann")

    with pytest.raises(Unavailable) as raised:
        database.write_sync(cut_off)
    assert raised.value.code == "unavailable"
    assert "does not answer" in raised.value.message
    assert database.read_sync(list_projects) == ()
    assert database.write_sync(make("half")) == "half"


def test_one_that_ends_before_the_commit_keeps_nothing_of_it(database, beside):
    def cut_off(db):
        create_project(db, "half", now_ns=1, by="ann")
        end_all(beside)

    with pytest.raises(Unavailable):
        database.write_sync(cut_off)
    assert database.read_sync(list_projects) == ()
    assert database.write_sync(make("half")) == "half"


def test_a_full_disk_is_told_as_one_and_nothing_was_written(database, beside):
    beside(_FULL)
    beside(_TRIGGER)
    with pytest.raises(StorageFull) as raised:
        database.write_sync(make("one"))
    assert raised.value.code == "storage_full"
    assert database.read_sync(list_projects) == ()
    beside("DROP TRIGGER full_disk ON audit")
    assert database.write_sync(make("one")) == "one"
