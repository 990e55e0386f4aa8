"""An artifact's versions with who, when and why, where their aliases were, and where they are served."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection, select

from tidemill.core.difference import Difference
from tidemill.core.extend import ArtifactKind, BlobReader
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref
from tidemill.store.changes import Explain, Labels, difference_between, with_moves
from tidemill.store.page import Page
from tidemill.store.registry import LATEST, get_version, list_versions, version_of
from tidemill.store.tables import alias_moves, aliases, artifacts, endpoints, versions
from tidemill.store.upsert import in_batches

_MOST: Final = 1000
"""Versions that a line of descent is followed through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionMove:
    """An alias came to a version: `latest` when it was applied. `before` is the number that it was at."""

    alias: str
    before: int | None
    by: str
    why: str
    at_ns: int


@dataclass(frozen=True, kw_only=True)
class Past:
    """A version, the one that it was made from, and what happened to it. `moves` are newest first."""

    version: Version
    by: str
    parent: int | None
    aliases: tuple[str, ...]
    moves: tuple[VersionMove, ...]
    served: tuple[str, ...]
    explain: Explain

    @functools.cached_property
    def difference(self) -> Difference:
        """What changed from the version that it was made from; empty for the first."""
        return self.explain()


def list_history(
    db: Connection,
    project: str,
    ref: Ref,
    *,
    kinds: Mapping[str, ArtifactKind],
    blobs: BlobReader,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Past]:
    """An artifact's versions, newest first, as `list_versions` pages them. Raises `NotFound` when there is no such artifact."""
    found = list_versions(db, project, ref, limit=limit, cursor=cursor)
    parents = parents_of(db, project, ref)
    numbers = [each.number for each in found.items]
    wanted = {parents.get(each) for each in numbers}.difference(numbers)
    older = _numbered(db, project, ref, [each for each in wanted if each is not None])
    kept = {each.number: each for each in found.items} | older
    pairs = [(kept[parent], each) for each in found.items if (parent := parents.get(each.number)) in kept]
    labels = Labels(db, project, pairs)
    makers = _makers(db, project, ref, numbers)
    moves, named, served = _moves(db, project, ref, numbers), _aliases(db, project, ref), _served(db, project)

    def past(version: Version) -> Past:
        parent = kept.get(parents.get(version.number) or 0)
        explain: Explain = Difference
        if parent is not None:
            references = labels.moved(parent, version)
            between = functools.partial(difference_between, kinds.get(ref.kind), parent, version, blobs=blobs)
            explain = lambda: with_moves(between(), references)  # noqa: E731
        return Past(
            version=version,
            by=makers.get(version.number, ""),
            parent=None if parent is None else parent.number,
            aliases=tuple(named.get(version.number, ())),
            moves=tuple(moves.get(version.number, ())),
            served=tuple(served.get(version.digest, ())),
            explain=explain,
        )

    return Page(items=tuple(past(each) for each in found.items), next=found.next)


def descent(db: Connection, project: str, ref: Ref) -> list[tuple[Version, str]]:
    """The version that `ref` names and those that it was made from, newest first, each with who made it; at most 1,000."""
    at = get_version(db, project, ref)
    parents = parents_of(db, project, ref)
    numbers: list[int] = []
    number: int | None = at.number
    while number is not None and number not in numbers and len(numbers) < _MOST:
        numbers.append(number)
        number = parents.get(number)
    kept, makers = _numbered(db, project, ref, numbers), _makers(db, project, ref, numbers)
    return [(kept[each], makers.get(each, "")) for each in numbers if each in kept]


def parents_of(db: Connection, project: str, ref: Ref) -> dict[int, int | None]:
    """The number that was latest when each version came: what it was made from. A version that is gone is stepped over.

    Versions that an import brought were never latest here. They are taken as made one from the other, in their order.
    """
    rows = alias_moves.c
    query = select(rows.before, rows.after).where(
        rows.project == project, rows.kind == ref.kind, rows.name == ref.name, rows.alias == LATEST
    )
    first: dict[int, int | None] = {}
    for before, after in db.execute(query.order_by(rows.id)):
        if after:
            first.setdefault(after, before or None)
    there = set(db.execute(select(versions.c.number).filter_by(project=project, kind=ref.kind, name=ref.name)).scalars())

    def kept(number: int | None) -> int | None:
        seen: set[int] = set()
        while number is not None and number not in there and number not in seen:
            seen.add(number)
            number = first.get(number)
        return number if number in there else None

    imported = sorted(there.difference(first))
    lower = {number: max((each for each in imported if each < number), default=None) for number in there}
    return {number: kept(first.get(number)) or (lower[number] if first.get(number) is None else None) for number in there}


def _numbered(db: Connection, project: str, ref: Ref, numbers: Iterable[int]) -> dict[int, Version]:
    query = select(versions).filter_by(project=project, kind=ref.kind, name=ref.name)
    found: dict[int, Version] = {}
    for batch in in_batches(sorted(numbers)):
        found |= {row.number: version_of(row) for row in db.execute(query.where(versions.c.number.in_(batch)))}
    return found


def _makers(db: Connection, project: str, ref: Ref, numbers: Sequence[int]) -> dict[int, str]:
    rows = versions.c
    query = select(rows.number, rows.created_by).filter_by(project=project, kind=ref.kind, name=ref.name)
    low, high = min(numbers, default=0), max(numbers, default=0)
    return {row.number: row.created_by for row in db.execute(query.where(rows.number.between(low, high)))}


def _moves(db: Connection, project: str, ref: Ref, numbers: Sequence[int]) -> dict[int, list[VersionMove]]:
    rows = alias_moves.c
    query = select(alias_moves).where(
        rows.project == project, rows.kind == ref.kind, rows.name == ref.name,
        rows.after.between(min(numbers, default=0), max(numbers, default=0)),
    )  # fmt: skip
    found: dict[int, list[VersionMove]] = {}
    for row in db.execute(query.order_by(rows.id.desc())):
        move = VersionMove(alias=row.alias, before=row.before or None, by=row.moved_by, why=row.why, at_ns=row.moved_ns)
        found.setdefault(row.after, []).append(move)
    return found


def _aliases(db: Connection, project: str, ref: Ref) -> dict[int, list[str]]:
    at = {"project": project, "kind": ref.kind, "name": ref.name}
    found: dict[int, list[str]] = {}
    for number in db.execute(select(artifacts.c.latest).filter_by(**at)).scalars():
        found.setdefault(number, []).append(LATEST)
    query = select(aliases.c.alias, aliases.c.number).filter_by(**at).order_by(aliases.c.alias)
    for alias, number in db.execute(query):
        found.setdefault(number, []).append(alias)
    return found


def _served(db: Connection, project: str) -> dict[str, list[str]]:
    """The endpoints by the digest of each component, and of the release, that they serve now."""
    same = (versions.c.project == endpoints.c.project) & (versions.c.digest == endpoints.c.release)
    query = select(endpoints.c.name, endpoints.c.release, versions.c.spec).join(versions, same)
    rows = db.execute(query.where(endpoints.c.project == project, versions.c.kind == "release").order_by(endpoints.c.name))
    found: dict[str, list[str]] = {}
    for name, release, spec in rows:
        locked = cast("Mapping[str, JsonObject]", spec["artifacts"])
        for digest in {release, *(str(each["digest"]) for each in locked.values())}:
            found.setdefault(digest, []).append(f"endpoint/{name}")
    return found
