"""Insert-or-replace in many rows at once, in the words of either database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

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


@cache
def _statement(table: Table, dialect: str) -> Insert:
    keys = [column.name for column in table.primary_key]
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _additive(table: Table, dialect: str) -> Insert:
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return statement.on_conflict_do_nothing()
