"""What differs between two points: versions, applications component by component, configuration; and all that moved."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from sqlalchemy import Connection, Table, select

from tidemill.core.difference import Difference, field_changes
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.extend import ArtifactKind, BlobReader
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import Ref
from tidemill.store.changes import Explain, Labels, Moved, difference_between, with_moves
from tidemill.store.config import Config
from tidemill.store.points import Point, point_of
from tidemill.store.registry import LATEST, find_by_digest
from tidemill.store.release import load_bundle
from tidemill.store.tables import alias_moves, configs, endpoint_moves

Effect: TypeAlias = Literal["create", "update", "remove"]
_MOST: Final = 500


@dataclass(frozen=True, kw_only=True)
class Differs:
    """One thing that differs; told in words when first asked for, as `Change` is."""

    ref: str
    action: Effect
    before: str | None = None
    after: str | None = None
    was: str | None = None
    digest: str | None = None
    references: tuple[Moved, ...] = ()
    explain: Explain = Difference
    by: str | None = None
    why: str | None = None
    at_ns: int | None = None

    @functools.cached_property
    def difference(self) -> Difference:
        """All that differs, with the references that moved at the end of its lines."""
        return with_moves(self.explain(), self.references)

    def as_json(self) -> JsonObject:
        """As the API answers it; `path` is empty, for it is of no file."""
        names = ("ref", "action", "before", "after", "was", "digest")
        told: dict[str, Json] = {name: getattr(self, name) for name in names}
        told |= {"path": "", "details": list(self.difference.bounded_lines())}
        if self.action == "update":
            told.update(self.difference.as_json())
            told["references"] = [each.as_json() for each in self.references]
        return told


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What telling differences needs: the kinds, and where blobs are read."""

    kinds: Mapping[str, ArtifactKind]
    blobs: BlobReader


def diff_points(db: Connection, project: str, a: Point, b: Point, *, parts: Parts, deep: bool = False) -> list[Differs]:
    """What differs from `a` to `b`: of two versions what changed, of two applications each component.

    With `deep`, every reference that moved is followed, and what changed in it is told too. Raises `Invalid` for two things
    of different kinds.
    """
    a, b = alike(db, project, a, b)
    if a.config is not None and b.config is not None:
        return _configs(a.config, b.config, parts)
    if a.bundle is not None and b.bundle is not None:
        return _bundles(db, project, a.bundle, b.bundle, parts)
    assert a.version is not None
    assert b.version is not None
    if a.version.digest == b.version.digest and a.version.bare == b.version.bare and a.version.number == b.version.number:
        return []
    found = [_versions(db, project, a.version, b.version, parts)]
    if deep:
        _follow(db, project, found, parts)
    return found


def moved_between(
    db: Connection, project: str, since_ns: int, until_ns: int, *, parts: Parts, environment: str
) -> list[Differs]:
    """All that moved in the project: what is latest, aliases, what endpoints serve; and configuration set since.

    What moved away and back again is left out. The newest 500 names are told.
    """
    found: list[Differs] = []
    for row in _last_moves(db, alias_moves, ("kind", "name", "alias"), project, since_ns, until_ns):
        ref = Ref(kind=row["kind"], name=row["name"], version=None if row["alias"] == LATEST else row["alias"])
        old, new = _then(db, project, ref, since_ns, environment), _then(db, project, ref, until_ns, environment)
        found += _moved(db, project, str(ref), old, new, row, parts)
    for row in _last_moves(db, endpoint_moves, ("endpoint",), project, since_ns, until_ns):
        ref = Ref(kind="endpoint", name=row["endpoint"])
        old, new = _then(db, project, ref, since_ns, environment), _then(db, project, ref, until_ns, environment)
        found += _moved(db, project, str(ref), old, new, row, parts)
    set_here = configs.c.project == project, configs.c.updated_ns > since_ns, configs.c.updated_ns <= until_ns
    for row in db.execute(select(configs).where(*set_here).order_by(configs.c.kind, configs.c.name, configs.c.environment)):
        words = ("set; what it was before is not kept",)
        place = f"@{row.environment}" if row.environment else ""
        told = Difference(lines=words)
        explain = functools.partial(_same, told)
        found.append(Differs(ref=f"{row.kind}/{row.name}{place}", action="update", explain=explain, at_ns=row.updated_ns))
    return found[:_MOST]


def alike(db: Connection, project: str, a: Point, b: Point) -> tuple[Point, Point]:
    """Two points that can be compared: a release beside an application that is not locked makes that one too.

    Raises `Invalid` for two things of different kinds.
    """
    if a.bundle is not None and b.version is not None:
        b = as_application(db, project, b)
    elif b.bundle is not None and a.version is not None:
        a = as_application(db, project, a)
    kinds = [each.config.kind if each.config else each.version.kind if each.version else "release" for each in (a, b)]
    if kinds[0] != kinds[1]:
        raise Invalid(f"{a.ref} is a {kinds[0]} and {b.ref} a {kinds[1]}", hint="Compare two of one kind.")
    return a, b


def as_application(db: Connection, project: str, point: Point) -> Point:
    """The same with all that it needs. Raises `Invalid` for what cannot be run."""
    if point.bundle is not None:
        return point
    if point.version is None:
        raise Invalid(f"{point.ref} is no release", hint="Write a release's digest, or an app as in chain/NAME.")
    bundle = load_bundle(db, project, point.version.ref)
    return Point(ref=point.ref, digest=bundle.release, bundle=bundle, at_ns=point.at_ns)


def _configs(a: Config, b: Config, parts: Parts) -> list[Differs]:
    if (a.spec, a.description, dict(a.tags), a.owner) == (b.spec, b.description, dict(b.tags), b.owner):
        return []
    kind = parts.kinds.get(a.kind)

    def explain() -> Difference:
        lines = tuple(kind.diff(a.spec, b.spec)) if kind is not None else ()
        return Difference(lines=lines or ("description, tags or owner differ",), fields=tuple(field_changes(a.spec, b.spec)))

    name = a.bare if a.bare == b.bare else f"{a.bare} -> {b.bare}"
    return [Differs(ref=name, action="update", before=a.environment, after=b.environment, explain=explain)]


def _versions(db: Connection, project: str, a: Version, b: Version, parts: Parts) -> Differs:
    labels = Labels(db, project, [(a, b)])
    return Differs(
        ref=a.bare if a.bare == b.bare else f"{a.bare} -> {b.bare}",
        action="update",
        before=f"v{a.number}",
        after=f"v{b.number}",
        was=a.digest,
        digest=b.digest,
        references=labels.moved(a, b),
        explain=functools.partial(difference_between, parts.kinds.get(a.kind), a, b, blobs=parts.blobs),
    )


def _bundles(db: Connection, project: str, a: Bundle, b: Bundle, parts: Parts) -> list[Differs]:
    """Component by component, the root first. Two versions of one artifact in one application are told apart by content."""
    old, new = _components(a), _components(b)
    names = sorted({*old, *new}, key=lambda each: (each not in {a.root.bare, b.root.bare}, each))
    found: list[Differs] = []
    for bare in names:
        gone = [each for each in old.get(bare, ()) if all(each.digest != other.digest for other in new.get(bare, ()))]
        come = [each for each in new.get(bare, ()) if all(each.digest != other.digest for other in old.get(bare, ()))]
        found += [_versions(db, project, x, y, parts) for x, y in zip(gone, come, strict=False)]
        found += [Differs(ref=bare, action="remove", before=f"v{each.number}", was=each.digest) for each in gone[len(come) :]]
        found += [Differs(ref=bare, action="create", after=f"v{each.number}", digest=each.digest) for each in come[len(gone) :]]
    return found


def _components(bundle: Bundle) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for each in sorted(bundle.versions.values(), key=lambda each: (each.bare, each.number)):
        found.setdefault(each.bare, []).append(each)
    return found


def _follow(db: Connection, project: str, found: list[Differs], parts: Parts) -> None:
    """What changed in the references that moved, and in theirs, each once."""
    seen: set[tuple[str, str | None, str | None]] = set()
    for each in found:  # grows while it is walked
        for moved in each.references:
            key = (moved.ref, moved.before_digest, moved.after_digest)
            if key in seen or len(found) >= _MOST:
                continue
            seen.add(key)
            kind, _, name = moved.ref.partition("/")
            sides = [
                None if digest is None else find_by_digest(db, project, digest, kind=kind, name=name)
                for digest in (moved.before_digest, moved.after_digest)
            ]
            old, new = sides
            if old is not None and new is not None:
                found.append(_versions(db, project, old, new, parts))
            elif new is not None:
                found.append(Differs(ref=moved.ref, action="create", after=moved.after, digest=new.digest))
            elif old is not None:
                found.append(Differs(ref=moved.ref, action="remove", before=moved.before, was=old.digest))


def _last_moves(
    db: Connection, table: Table, keys: Sequence[str], project: str, since_ns: int, until_ns: int
) -> list[Mapping[str, Any]]:
    """The last move of each name in the time, the newest first."""
    query = select(table).where(table.c.project == project, table.c.moved_ns > since_ns, table.c.moved_ns <= until_ns)
    last: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in db.execute(query.order_by(table.c.id.desc())).mappings():
        if len(last) >= _MOST:
            break
        last.setdefault(tuple(str(row[each]) for each in keys), cast("Mapping[str, Any]", row))
    return list(last.values())


def _then(db: Connection, project: str, ref: Ref, at_ns: int, environment: str) -> Point | None:
    try:
        return point_of(db, project, str(ref), environment=environment, at_ns=at_ns)
    except TidemillError:
        return None


def _moved(
    db: Connection,
    project: str,
    ref: str,
    old: Point | None,
    new: Point | None,
    row: Mapping[str, Any],
    parts: Parts,
) -> list[Differs]:
    """The net move of one name; nothing where it is back where it was."""
    if (old and old.digest) == (new and new.digest):
        return []
    told = Difference()
    references: tuple[Moved, ...] = ()
    explain: Explain = functools.partial(_same, told)
    if old is not None and new is not None and old.bundle is not None and new.bundle is not None:
        components = _bundles(db, project, old.bundle, new.bundle, parts)
        lines = [f"{each.ref} {each.before or 'none'} -> {each.after or 'none'}" for each in components]
        explain = functools.partial(_same, Difference(lines=tuple(lines)))
    elif old is not None and new is not None and old.version is not None and new.version is not None:
        one = _versions(db, project, old.version, new.version, parts)
        explain, references = one.explain, one.references
    return [
        Differs(
            ref=ref,
            action="create" if old is None else "remove" if new is None else "update",
            before=_label(old),
            after=_label(new),
            was=old and old.digest,
            digest=new and new.digest,
            references=references,
            explain=explain,
            by=row["moved_by"],
            why=row.get("why") or row.get("action"),
            at_ns=row["moved_ns"],
        )
    ]


def _label(point: Point | None) -> str | None:
    if point is None:
        return None
    return f"v{point.version.number}" if point.version is not None else f"{point.digest or ''}"[:15]


def _same(difference: Difference) -> Difference:
    return difference
