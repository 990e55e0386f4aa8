"""How text sorts on PostgreSQL: as on SQLite and in Python."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.types import TypeEngine


class SortedByCodePoint(PGTypeCompiler):
    """Makes every text column with the collation "C".

    Names then sort the same everywhere, whatever the server's own language is, and a cursor that says "after this name" means
    the same.
    """

    def process(self, type_: TypeEngine[Any], **kw: Any) -> str:
        """The column's type in SQL."""
        text = super().process(type_, **kw)
        is_column = isinstance(kw.get("type_expression"), Column)
        return f'{text} COLLATE "C"' if is_column and text.startswith(("VARCHAR", "TEXT")) and "COLLATE" not in text else text
