"""How each database is opened, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from tidemill.core.errors import Conflict, Invalid, StorageFull, TidemillError, Unavailable
from tidemill.core.json import dump_json, parse_json
from tidemill.store.postgres import explain_postgresql, open_postgresql, place

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "busy_timeout=10000",
    "cache_size=-8000",
    "temp_store=MEMORY",
    "secure_delete=ON",  # what is erased is overwritten
)
_FULL = frozenset({sqlite3.SQLITE_FULL})
_NEARLY_FULL_BYTES = 256 * 1024


def open_engine(url_or_path: str | Path) -> Engine:
    """An engine for a file (SQLite) or a URL. Raises `Invalid` for a URL that names no known database."""
    text = str(url_or_path)
    if "://" not in text:
        return _open_sqlite(URL.create("sqlite", database=text))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise Invalid("the database URL is not one", hint="Write postgresql://USER@HOST/NAME.") from error
    match url.get_backend_name():
        case "sqlite":
            return _open_sqlite(url)
        case "postgresql" | "postgres":
            return open_postgresql(url, serialize=_serialize, deserialize=_deserialize)
        case other:
            raise Invalid(f"{other!r} is not a database that is known here", hint="Use SQLite or postgresql://…")


def _serialize(value: object) -> str:
    return dump_json(value).decode("utf-8")


def _deserialize(stored: str | bytes | float) -> object:
    # SQLite gives a column declared JSON numeric affinity, so that a document that is one number comes back as a number.
    return stored if isinstance(stored, int | float) else parse_json(stored, what="a stored value")


def _open_sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        json_serializer=_serialize,
        json_deserializer=_deserialize,
        connect_args={"check_same_thread": False, "isolation_level": None, "cached_statements": 512, "timeout": 10.0},
    )

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("tidemill_reads", False)
        # The driver itself, for this stands before every transaction and SQLAlchemy's way costs as much as a query.
        driver: Any = connection.connection.dbapi_connection
        try:
            driver.execute("BEGIN" if reads else "BEGIN IMMEDIATE").close()
        except sqlite3.Error as error:
            raise DBAPIError.instance("BEGIN", None, error, sqlite3.Error) from error

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def place_of(engine: Engine) -> str:
    """Which database it is, as a user would say it, without a password."""
    return place(engine.url) if engine.dialect.name == "postgresql" else engine.url.database or ""


def place_of_url(url: str) -> str:
    """The same of a URL."""
    return place(make_url(url))


def explain(error: DBAPIError, engine: Engine) -> TidemillError:
    """What a driver's error means to a user."""
    if engine.dialect.name == "postgresql":
        return explain_postgresql(error, engine.url)
    cause: Any = error.orig
    where = place_of(engine)
    code = getattr(cause, "sqlite_errorcode", None)
    if code in _FULL or (code and _disk_is_full(where)):
        return StorageFull("the disk is full; nothing was written", where=where, hint="Free some room, then try again.")
    if code is None:
        return Unavailable(f"the database does not answer: {cause}".strip(), where=where)
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable("the database is locked by another process", where=where, hint="Try again.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return Unavailable(f"the database is damaged: {cause}", where=where, hint="Restore it from a copy.")
        case sqlite3.SQLITE_CONSTRAINT:
            return Conflict(f"the database refused a row: {cause}", where=where)
        case _:
            return Unavailable(f"the database failed: {cause}", where=where, hint="Look at the disk and its permissions.")


def _disk_is_full(path: str) -> bool:
    try:
        disk = os.statvfs(Path(path).parent)
    except OSError as error:
        return error.errno == errno.ENOSPC
    return disk.f_bavail * disk.f_frsize < _NEARLY_FULL_BYTES
