"""Bring a database's schema up to date, and refuse one that a newer Tidemill made."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import Engine

from tidemill.core.errors import Conflict

REVISIONS = tuple(f"{number:04}" for number in range(1, 13))
"""Every revision, oldest first; the files are in `migrations/versions`."""


def bring_up_to_date(engine: Engine) -> None:
    """Run the migrations that are missing, all in one transaction. Raises `Conflict` for a schema from the future."""
    with engine.connect().execution_options(tidemill_reads=True) as connection:
        if _check(connection, engine) == REVISIONS[-1]:
            return
    with engine.begin() as connection:
        if _check(connection, engine) != REVISIONS[-1]:  # another process may have been quicker
            _upgrade(connection)


def _check(connection: Connection, engine: Engine) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and revision not in REVISIONS:
        raise Conflict(
            f"the database has schema {revision}, made by a newer Tidemill; this one knows up to {REVISIONS[-1]}",
            where=engine.url.database or "",
            hint="Use the newer Tidemill, or another data folder.",
        )
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command, config  # noqa: PLC0415  (costs 300 ms; a schema that is up to date needs none of it)

    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = config.Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
