"""What the registry has of many artifacts, looked up in a few queries, for a plan of ten thousand of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, and_, select
from sqlalchemy.engine import Row

from tidemill.core.records import Version
from tidemill.store.deleted import deleted_versions
from tidemill.store.registry import version_of
from tidemill.store.tables import artifacts, versions
from tidemill.store.upsert import in_batches


class Known:
    """The artifacts of these kinds and names as they are now: `latest` by `kind/name`, and the numbers of their contents."""

    def __init__(self, db: Connection, project: str, names: Iterable[tuple[str, str]]) -> None:
        by_kind: dict[str, list[str]] = {}
        for kind, name in names:
            by_kind.setdefault(kind, []).append(name)
        self.latest: Mapping[str, Version] = {each.bare: each for each in _latest(db, project, by_kind)}
        self._last: dict[tuple[str, str], int] = {}
        deleted = False
        for row in _rows(db, project, by_kind, artifacts, ("kind", "name", "last_number", "deleted")):
            self._last[row.kind, row.name] = row.last_number
            deleted = deleted or row.deleted > 0
        self._numbers: dict[tuple[str, str, str], int] = {}
        for table in (deleted_versions, versions) if deleted else (versions,):
            for row in _rows(db, project, by_kind, table, ("kind", "name", "digest", "number")):
                self._numbers[row.kind, row.name, row.digest] = row.number

    def number_of(self, kind: str, name: str, digest: str) -> int:
        """The number that an artifact's content has, also when it is deleted, or that it would get."""
        found = self._numbers.get((kind, name, digest))
        return self._last.get((kind, name), 0) + 1 if found is None else found


def _latest(db: Connection, project: str, by_kind: Mapping[str, list[str]]) -> Iterator[Version]:
    same = and_(
        artifacts.c.project == versions.c.project,
        artifacts.c.kind == versions.c.kind,
        artifacts.c.name == versions.c.name,
        artifacts.c.latest == versions.c.number,
    )
    for kind, names in by_kind.items():
        for batch in in_batches(names):
            where = (artifacts.c.project == project, artifacts.c.kind == kind, artifacts.c.name.in_(batch))
            yield from (version_of(row) for row in db.execute(select(versions).join(artifacts, same).where(*where)))


def _rows(
    db: Connection, project: str, by_kind: Mapping[str, list[str]], table: Table, columns: Iterable[str]
) -> Iterator[Row[Any]]:
    query = select(*(table.c[name] for name in columns)).where(table.c.project == project)
    for kind, names in by_kind.items():
        for batch in in_batches(names):
            yield from db.execute(query.where(table.c.kind == kind, table.c.name.in_(batch)))
