"""From every past version to the newest, on either database: the tables are those that the code declares, and the rows stay."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, LargeBinary, MetaData, String, Table, inspect, select, text

from tidemill.core.errors import Conflict
from tidemill.store.backup import all_tables
from tidemill.store.database import Database
from tidemill.store.migrate import REVISIONS, bring_up_to_date, check_revision, upgrade

VALUES = (
    (Boolean, True), (LargeBinary, b"\x00\xff"), (JSON, {"names": ["a"], "n": 1}), (Float, 0.5), (BigInteger, 2**40),
    (Integer, 3), (String, "tide"),
)  # fmt: skip
OPEN = """
import sys
from tidemill.store.database import Database
sys.stdin.read(1)
Database.open(sys.argv[1]).close()
"""


def value_for(column):
    if column.name == "version_num":
        return None
    return next(value for kind, value in VALUES if isinstance(column.type, kind))


def fill(db):
    """A row in every table that there is, and what each holds."""
    for name in inspect(db).get_table_names():
        if name != "alembic_version":
            table = Table(name, MetaData(), autoload_with=db)
            db.execute(table.insert(), {each.name: value_for(each) for each in table.columns})
    return read(db)


def read(db):
    found = {}
    for name in inspect(db).get_table_names():
        table = Table(name, MetaData(), autoload_with=db)
        found[name] = [{each.name: getattr(row, each.name) for each in table.columns} for row in db.execute(select(table))]
    return found


@pytest.mark.parametrize("revision", [None, *REVISIONS])
def test_every_past_version_becomes_the_newest_with_its_rows(empty_place, revision):
    with contextlib.closing(Database.open(empty_place, migrate=False)) as database:
        before = {}
        if revision is not None:
            with database.engine.begin() as db:
                upgrade(db, to=revision)
                before = fill(db)
        bring_up_to_date(database.engine)
        with database.engine.connect() as db:
            assert compare_metadata(MigrationContext.configure(db), all_tables()) == []
            after = read(db)
    for name, rows in before.items():
        for row in rows if name != "alembic_version" else ():
            kept = [{column: each[column] for column in row if column in each} for each in after[name]]
            assert {column: row[column] for column in kept[0]} in kept, name


def test_every_column_of_text_sorts_by_code_points(postgres_url):
    """Whatever the server's own language is: cursors compare names, as Python and SQLite do."""
    query = """
        SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_collation o ON o.oid = a.attcollation
        WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND a.attcollation <> 0 AND o.collname <> 'C'
    """
    with contextlib.closing(Database.open(postgres_url)) as database:
        assert database.read_sync(lambda db: db.execute(text(query)).all()) == []


def test_processes_that_start_at_once_on_an_empty_database_make_the_schema_once(empty_place):
    command = (sys.executable, "-W", "error", "-c", OPEN, str(empty_place))
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for each in started:
        each.stdin.write(b"\n")
        each.stdin.flush()
    assert [each.communicate(timeout=60)[1] for each in started] == [b""] * 3
    with contextlib.closing(Database.open(empty_place, migrate=False)) as database:
        assert database.read_sync(lambda db: check_revision(db, database.engine)) == REVISIONS[-1]


def test_a_newer_schema_is_refused_on_either(place):
    with contextlib.closing(Database.open(place)) as database:
        database.write_sync(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(Conflict, match="schema 9999, made by a newer Tidemill") as caught:
        Database.open(place)
    assert str(caught.value.where)
    assert "postgres:" not in caught.value.where


def test_a_password_is_in_no_message(postgres_url):
    url = postgres_url.replace("postgres:@", "nobody:hush@")
    with pytest.raises(Exception, match=r".") as caught:
        Database.open(url.replace("tidemill_", "no_"))
    assert "hush" not in f"{caught.value} {caught.value.where} {caught.value.hint}"
