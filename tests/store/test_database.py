from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sqlite3
import threading

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

import tidemill.store.migrations
from tidemill.core.errors import Conflict, Invalid, Unavailable
from tidemill.store import migrate
from tidemill.store.database import Database
from tidemill.store.migrate import REVISIONS
from tidemill.store.projects import ensure_project, list_projects
from tidemill.store.tables import metadata, projects

pytestmark = pytest.mark.anyio


def test_the_migrations_make_exactly_the_tables(database):
    for module in pkgutil.iter_modules(tidemill.store.__path__, "tidemill.store."):
        importlib.import_module(module.name)  # some declare tables of their own
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_every_migration_is_listed():
    scripts = ScriptDirectory(tidemill.store.migrations.__path__[0])
    assert tuple(reversed([each.revision for each in scripts.walk_revisions()])) == REVISIONS


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    Database.open(tmp_path / "meta.db").close()
    with sqlite3.connect(tmp_path / "meta.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Conflict, match="schema 9999, made by a newer Tidemill; this one knows up to") as caught:
        Database.open(tmp_path / "meta.db")
    assert caught.value.where == str(tmp_path / "meta.db")


def test_a_migration_that_was_killed_leaves_nothing(tmp_path):
    database = Database.open(tmp_path / "meta.db", migrate=False)
    connection = database.engine.connect()
    connection.begin()
    migrate.upgrade(connection)
    connection.rollback()
    connection.close()
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "meta.db")) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    database = Database.open(tmp_path / "meta.db")
    assert database.read_sync(list_projects) == ()
    database.close()


def test_several_open_a_new_database_at_once(tmp_path):
    opened, failed = [], []

    def open_it():
        try:
            opened.append(Database.open(tmp_path / "meta.db"))
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in opened:
        each.close()
    assert (len(opened), failed) == (2, [])


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "meta.db").write_bytes(b"this is no database, but a text of some length" * 50)
    with pytest.raises(Unavailable, match="damaged"):
        Database.open(tmp_path / "meta.db")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Unavailable) as caught:
        Database.open(tmp_path / "no" / "meta.db")
    assert caught.value.where == str(tmp_path / "no" / "meta.db")


@pytest.mark.parametrize("url", ["oracle://x", "://", "mysql://a:secret@host/db"])
def test_an_unknown_url_is_refused_without_its_password(url):
    with pytest.raises(Invalid) as caught:
        Database.open(url)
    assert "secret" not in str(caught.value)


async def test_a_transaction_is_all_or_nothing(database):
    def half(db):
        db.execute(insert(projects), {"name": "half", "created_ns": 1})
        raise Invalid("no")

    with pytest.raises(Invalid):
        await database.write(half)
    assert await database.read(list_projects) == ()
    await database.write(lambda db: ensure_project(db, "whole", now_ns=1))
    assert await database.read(list_projects) == ("whole",)


async def test_a_broken_rule_is_a_conflict_and_the_database_goes_on(database):
    def twice(db):
        for _ in range(2):
            db.execute(insert(projects), {"name": "x", "created_ns": 1})

    with pytest.raises(Conflict):
        await database.write(twice)
    await database.write(lambda db: ensure_project(db, "x", now_ns=1))
    assert await database.read(list_projects) == ("x",)


async def test_no_update_is_lost_among_many_writers(database):
    await database.write(lambda db: db.execute(text("CREATE TABLE counter (n INTEGER)")))
    await database.write(lambda db: db.execute(text("INSERT INTO counter VALUES (0)")))

    def add(db):
        n = db.execute(text("SELECT n FROM counter")).scalar()
        db.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    async with anyio.create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(database.write, add)
    assert await database.read(lambda db: db.execute(text("SELECT n FROM counter")).scalar()) == 200


async def test_a_reader_sees_one_snapshot_and_does_not_wait_for_the_writer(database):
    inside, written = threading.Event(), threading.Event()

    def read_twice(db):
        before = db.execute(select(projects.c.name)).all()
        inside.set()
        assert written.wait(10)
        return before, db.execute(select(projects.c.name)).all()

    async def write():
        await anyio.to_thread.run_sync(inside.wait, 10)
        await database.write(lambda db: ensure_project(db, "new", now_ns=1))
        written.set()

    seen = []

    async def read():
        seen.append(await database.read(read_twice))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
    assert seen == [([], [])]
    assert await database.read(list_projects) == ("new",)


def test_a_lock_that_another_process_keeps_is_told(tmp_path):
    database = Database.open(tmp_path / "meta.db")
    database.write_sync(lambda db: db.exec_driver_sql("PRAGMA busy_timeout=20"))
    with contextlib.closing(sqlite3.connect(tmp_path / "meta.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked by another process"):
            database.write_sync(lambda db: ensure_project(db, "x", now_ns=1))
        assert database.read_sync(list_projects) == ()
    assert database.write_sync(lambda db: ensure_project(db, "x", now_ns=1))
    database.close()
