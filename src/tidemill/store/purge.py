"""Purging: deleted versions whose time is over go for good, and the blobs that nothing uses any more."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, String, select
from sqlalchemy import cast as sql_cast

from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.store import audit
from tidemill.store.blobs import Blobs
from tidemill.store.deleted import deleted_before, deleted_versions, forget
from tidemill.store.index_builds import index_builds
from tidemill.store.tables import versions

_AT_ONCE = 500
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Purged:
    """Versions that went for good, and, by project, the blobs that they had."""

    versions: tuple[Version, ...]
    blobs: Mapping[str, frozenset[str]]


def purge_versions(
    db: Connection, *, before_ns: int, by: str, now_ns: int, inside: Callable[[Version], Iterable[str]]
) -> Purged:
    """Remove, for good, what was deleted before this time: at most some hundred versions, so call it until it finds none.

    `inside` names further blobs that a version has through those that it names, such as an index its documents.
    """
    gone = [each.version for each in deleted_before(db, before_ns, limit=_AT_ONCE)]
    blobs: dict[str, set[str]] = {}
    for each in gone:
        blobs.setdefault(each.project, set()).update([*each.blobs.values(), *inside(each)])
        forget(db, each)
    for project in blobs:
        refs: list[Json] = [each.ref for each in gone if each.project == project]
        detail: dict[str, Json] = {"versions": refs}
        audit.append(db, project, who=by, action="purge", target=f"project/{project}", detail=detail, now_ns=now_ns)
    return Purged(versions=tuple(gone), blobs={project: frozenset(each) for project, each in blobs.items()})


def remove_unused(
    db: Connection, blobs: Blobs, candidates: Collection[str], *, inside: Callable[[Version], Iterable[str]]
) -> list[str]:
    """Remove those of these blobs that no version, deleted or not, and no build of an index uses; which ones.

    Call it in a write transaction after the one that removed the versions, so that no apply comes in between.
    """
    left = set(candidates)
    for used in _used(db, blobs.project, inside):
        left.difference_update(used)
    for digest in left:
        blobs.remove(digest)
    return sorted(left)


def users_of(db: Connection, project: str, digest: str) -> list[str]:
    """Which versions use a blob, and as what, as in `dataset/questions@v2 rows`."""
    query = select(versions.c.kind, versions.c.name, versions.c.number, versions.c.blobs).where(
        versions.c.project == project, sql_cast(versions.c.blobs, String).contains(digest)
    )
    rows = db.execute(query.order_by(versions.c.kind, versions.c.name, versions.c.number).limit(20))
    return [f"{row.kind}/{row.name}@v{row.number} {role}" for row in rows for role, blob in row.blobs.items() if blob == digest]


def _used(db: Connection, project: str, inside: Callable[[Version], Iterable[str]]) -> Iterator[set[str]]:
    for table in (versions, deleted_versions):
        columns = [table.c[name] for name in ("kind", "name", "number", "digest", "spec", "refs", "blobs")]
        for row in db.execute(select(*columns).where(table.c.project == project)):
            version = Version(project=project, **{column.name: getattr(row, column.name) for column in columns})
            yield {*version.blobs.values(), *_digests(version.spec), *(inside(version) if version.blobs else ())}
    for row in db.execute(select(index_builds.c.blobs, index_builds.c.manifest).where(index_builds.c.project == project)):
        yield {*_digests(row.blobs), *_digests(row.manifest)}


def _digests(value: Json) -> Iterator[str]:
    """Every digest that is written somewhere in a JSON value."""
    if isinstance(value, str):
        yield from _DIGEST.findall(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _digests(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _digests(each)
