"""How each database is opened, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from tidemill.core.errors import Conflict, Invalid, StorageFull, TidemillError, Unavailable
from tidemill.core.json import dump_json, parse_json

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "busy_timeout=10000",
    "cache_size=-8000",
    "temp_store=MEMORY",
)
_FULL = frozenset({sqlite3.SQLITE_FULL})
_NEARLY_FULL_BYTES = 256 * 1024
_LOST_RACES = frozenset({"40001", "40P01", "23505"})


def open_engine(url_or_path: str | Path) -> Engine:
    """An engine for a file (SQLite) or a URL. Raises `Invalid` for a URL that names no known database."""
    text = str(url_or_path)
    if "://" not in text:
        return _open_sqlite(URL.create("sqlite", database=text))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise Invalid("the database URL is not one", hint="Write postgresql://USER@HOST/NAME.") from error
    return _open_sqlite(url) if url.get_backend_name() == "sqlite" else _open_postgresql(url)


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


def _open_postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise Invalid(f"{url.drivername!r} is not a database that is known here", hint="Use SQLite or postgresql://…")
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            json_serializer=_serialize,
            json_deserializer=_deserialize,
            isolation_level="SERIALIZABLE",
            pool_pre_ping=True,
        )
    except (ImportError, NoSuchModuleError) as error:
        raise Unavailable("PostgreSQL needs its driver", hint="Type: pip install 'psycopg[binary]'") from error


def is_lost_race(error: DBAPIError) -> bool:
    """Whether PostgreSQL says that running the same transaction again may succeed."""
    return getattr(error.orig, "sqlstate", None) in _LOST_RACES


def explain(error: DBAPIError, engine: Engine) -> TidemillError:
    """What a driver's error means to a user."""
    cause: Any = error.orig
    where = engine.url.database or ""
    code = getattr(cause, "sqlite_errorcode", None)
    if code in _FULL or getattr(cause, "sqlstate", None) == "53100" or (code and _disk_is_full(where)):
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
