"""Insert-or-replace in many rows at once, in the words of either database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert

T = TypeVar("T")
_IN_ONE_QUERY = 500


def upsert(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert every row; one with the same primary key is replaced."""
    if rows:
        db.execute(_statement(table, db.dialect.name), rows)


def insert_new(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows; one that clashes with a row that is there is left out."""
    if rows:
        db.execute(_additive(table, db.dialect.name), rows)


def in_batches(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """The keys in pieces that one query can carry."""
    for start in range(0, len(keys), _IN_ONE_QUERY):
        yield keys[start : start + _IN_ONE_QUERY]


def insert_by(dialect: str, table: Table) -> sqlite.Insert | PostgresqlInsert:
    """An INSERT that can say what to do with a row that is there, for the dialect of this name."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  (a twentieth of a second, which most never need)

    return postgresql.insert(table)


@cache
def _statement(table: Table, dialect: str) -> sqlite.Insert | PostgresqlInsert:
    keys = [column.name for column in table.primary_key]
    statement = insert_by(dialect, table)
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _additive(table: Table, dialect: str) -> sqlite.Insert | PostgresqlInsert:
    return insert_by(dialect, table).on_conflict_do_nothing()
