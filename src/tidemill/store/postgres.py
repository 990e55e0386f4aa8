"""PostgreSQL: how it is opened so that it does what SQLite does, and what its errors mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from tidemill.core.errors import Conflict, Denied, Invalid, MissingExtra, StorageFull, TidemillError, Unavailable

_LOST_RACES: Final = frozenset({"40001", "40P01"})
_SAME_KEY: Final = "23505"
_FULL: Final = frozenset({"53100", "53200"})
_REFUSED: Final = frozenset({"42501", "28000", "28P01", "25006"})
_WRONG_TEXT: Final = frozenset({"22021", "22P05"})
_CONNECT_SECONDS: Final = 10
_POOL: Final = 8
JOBS_SCHEMA: Final = "tidemill_jobs"
"""Where the jobs' driver keeps its own records."""
_ORDER: Final = "SELECT pg_current_snapshot()::text"
_LOCKS: Final = " FOR UPDATE"
_MIGRATING: Final = int.from_bytes(hashlib.sha256(b"tidemill/migrations").digest()[:7])


def open_postgresql(url: URL, *, serialize: Callable[[object], str], deserialize: Callable[[Any], object]) -> Engine:
    """An engine on which writes are SERIALIZABLE, reads see one snapshot and lock nothing, and text sorts by code points.

    Raises `MissingExtra` without the driver.
    """
    if find_spec("psycopg") is None:
        raise MissingExtra("postgres", needed_for="a database on PostgreSQL")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=serialize,
        json_deserializer=deserialize,
        isolation_level="SERIALIZABLE",
        pool_pre_ping=True,
        pool_size=_POOL,
        max_overflow=_POOL,
        hide_parameters=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "tidemill", "options": "-c timezone=UTC"},
    )
    from tidemill.store.collation import SortedByCodePoint  # noqa: PLC0415  (the dialect, which SQLite does not need)

    engine.dialect.type_compiler_instance = SortedByCodePoint(engine.dialect)
    event.listen(engine, "before_cursor_execute", _without_locks, retval=True)
    return engine


def as_reader(connection: Connection) -> Connection:
    """The connection for reading: one snapshot a transaction, nothing locked, and no race that could be lost."""
    return connection.execution_options(tidemill_reads=True, isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _without_locks(
    connection: Connection, _cursor: object, statement: str, parameters: Any, _context: object, *_: bool
) -> tuple[str, Any]:
    """A query that is shared by reads and writes says FOR UPDATE; a read needs no lock, and may not take one."""
    if connection.get_execution_options().get("tidemill_reads", False):
        statement = statement.removesuffix(_LOCKS)
    return statement, parameters


def seen_now(connection: Connection) -> str:
    """What is visible now, as a text: while it stays the same, no transaction of any process has ended that wrote."""
    return str(connection.exec_driver_sql(_ORDER).scalar_one())


def wait_turn(connection: Connection, *, alone: bool) -> None:
    """First in a writing transaction: with `alone`, wait until no other writes, and keep them waiting until it ends.

    LOCK TABLE takes no snapshot, so that whoever waited here sees what the one before wrote.
    """
    mode = "EXCLUSIVE" if alone else "ROW EXCLUSIVE"
    connection.exec_driver_sql(f"LOCK TABLE alembic_version IN {mode} MODE")


def wait_for_migrations(connection: Connection) -> None:
    """Of several processes that bring the schema up to date, one at a time; the lock goes with the transaction."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def is_lost_race(error: DBAPIError, *, alone: bool) -> bool:
    """Whether running the same transaction again may succeed. Of a key that exists that is so only while others write, too."""
    state = getattr(error.orig, "sqlstate", None)
    return state in _LOST_RACES or (state == _SAME_KEY and not alone)


def place(url: URL) -> str:
    """Which database it is, without user and password."""
    return f"postgresql://{url.host or url.query.get('host', 'localhost')}/{url.database or ''}"


def explain_postgresql(error: DBAPIError, url: URL) -> TidemillError:
    """What an error of PostgreSQL or of its driver means to a user."""
    cause: Any = error.orig
    state: str | None = getattr(cause, "sqlstate", None)
    said = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    if url.password:
        said = said.replace(str(url.password), "…")
    where = place(url)
    if state in _FULL:
        return StorageFull("the disk is full; nothing was written", where=where, hint="Free some room, then try again.")
    if state in _WRONG_TEXT or "NUL" in said:
        return Invalid(f"a text cannot be kept: {said}", hint="Leave out the character U+0000.")
    if state in _REFUSED:
        return Denied(f"PostgreSQL refused: {said}", where=where, hint="Look at the user, its password and its rights.")
    if state is not None and state.startswith("23"):
        return Conflict(f"the database refused a row: {said}", where=where)
    if state is not None and state.startswith("22"):
        return Invalid(f"a value cannot be kept: {said}")
    return Unavailable(f"the database does not answer: {said}", where=where, hint="Is PostgreSQL running, and reachable here?")
