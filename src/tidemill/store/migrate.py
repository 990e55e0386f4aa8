"""Bring a database's schema up to date, and refuse one that a newer Tidemill made."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine import Engine

from tidemill.core.errors import Conflict
from tidemill.store.drivers import place_of
from tidemill.store.postgres import wait_for_migrations

REVISIONS = tuple(f"{number:04}" for number in range(1, 19))
"""Every revision, oldest first; the files are in `migrations/versions`."""


_CHANGING: Final = frozenset({"CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"})


def bring_up_to_date(engine: Engine) -> None:
    """Run the migrations that are missing, all in one transaction. Raises `Conflict` for a schema from the future."""
    with engine.connect().execution_options(tidemill_reads=True) as connection:
        if check_revision(connection, engine) == REVISIONS[-1]:
            return
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="READ COMMITTED")  # sees what whoever it waited for has done
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            wait_for_migrations(connection)
        if check_revision(connection, engine) != REVISIONS[-1]:  # another process may have been quicker
            upgrade(connection)


def check_revision(connection: Connection, engine: Engine) -> str | None:
    """The schema's revision, None when there is no schema. Raises `Conflict` for one from the future."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and revision not in REVISIONS:
        raise Conflict(
            f"the database has schema {revision}, made by a newer Tidemill; this one knows up to {REVISIONS[-1]}",
            where=place_of(engine),
            hint="Use the newer Tidemill, or another data folder.",
        )
    return revision


def statements(engine: Engine, *, since: str | None) -> Sequence[str]:
    """The SQL that an upgrade would run, with nothing done: the upgrade, undone at its end, as the database saw it."""
    said: list[str] = []

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().split(maxsplit=1)[0].upper() in _CHANGING and "alembic_version" not in statement:
            said.append(" ".join(statement.split()))

    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", note)
        transaction = connection.begin()
        try:
            if check_revision(connection, engine) == since:
                upgrade(connection)
        finally:
            transaction.rollback()
    return said


def upgrade(connection: Connection, *, to: str = REVISIONS[-1]) -> None:
    """Run the migrations that are missing up to a revision, in the caller's transaction."""
    from alembic import command, config  # noqa: PLC0415  (costs 300 ms; a schema that is up to date needs none of it)

    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = config.Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)
