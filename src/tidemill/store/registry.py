"""The registry: named artifacts with immutable versions. Same content, same digest, same version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, String, and_, bindparam, insert, or_, select, tuple_, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.engine import Row

from tidemill.core.digests import artifact_digest
from tidemill.core.errors import Denied, Invalid, NotFound
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.suggest import did_you_mean, nearest
from tidemill.store.deleted import find_deleted, move_back
from tidemill.store.lineage_notes import note_version
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import alias_moves, aliases, artifacts, versions

LATEST = "latest"
_JSON_MARKS = frozenset('{}":,\\')


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A named thing and the version that is its latest."""

    latest: Version
    versions: int
    updated_ns: int

    @property
    def bare(self) -> str:
        """`kind/name`."""
        return self.latest.bare


_AT = and_(
    versions.c.project == bindparam("project"), versions.c.kind == bindparam("kind"), versions.c.name == bindparam("name")
)
_SAME_ARTIFACT = and_(
    artifacts.c.project == versions.c.project, artifacts.c.kind == versions.c.kind, artifacts.c.name == versions.c.name
)
_BY_NUMBER = select(versions).where(_AT, versions.c.number == bindparam("number"))
_BY_DIGEST = select(versions).where(_AT, versions.c.digest == bindparam("digest"))
_BY_LATEST = select(versions).join(artifacts, and_(_SAME_ARTIFACT, artifacts.c.latest == versions.c.number)).where(_AT)
_BY_ALIAS = (
    select(versions)
    .join(
        aliases,
        and_(
            aliases.c.project == versions.c.project,
            aliases.c.kind == versions.c.kind,
            aliases.c.name == versions.c.name,
            aliases.c.number == versions.c.number,
        ),
    )
    .where(_AT, aliases.c.alias == bindparam("alias"))
)
_ARTIFACT = (
    select(artifacts.c.last_number, artifacts.c.latest, artifacts.c.deleted)
    .where(
        artifacts.c.project == bindparam("project"),
        artifacts.c.kind == bindparam("kind"),
        artifacts.c.name == bindparam("name"),
    )
    .with_for_update()
)
_INSERT_ARTIFACT = insert(artifacts)
_MOVE_LATEST = update(artifacts).where(
    artifacts.c.project == bindparam("of_project"),
    artifacts.c.kind == bindparam("of_kind"),
    artifacts.c.name == bindparam("of_name"),
)
_INSERT_VERSION = insert(versions)
_INSERT_MOVE = insert(alias_moves)


def add_version(  # noqa: PLR0913  (every column of a version is given by name)
    db: Connection,
    *,
    project: str,
    kind: str,
    name: str,
    parsed_spec: JsonObject,
    refs: Mapping[str, str],
    blobs: Mapping[str, str],
    now_ns: int,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    owner: str = "",
    by: str = "",
    hermetic: bool = True,
) -> tuple[Version, bool]:
    """Keep content as the latest version of `kind/name`; whether a version was created.

    Content that the artifact had before becomes its latest again, under its old number; description, tags and owner, which
    stand outside the digest, are then the new ones.
    """
    wanted = Version(
        project=project,
        kind=kind,
        name=name,
        number=0,
        digest=digest_of(kind, spec=parsed_spec, refs=refs, blobs=blobs),
        spec=parsed_spec,
        refs=refs,
        blobs=blobs,
        description=description,
        tags=dict(tags or {}),
        owner=owner,
        created_ns=now_ns,
    )
    return _keep(db, wanted, by=by, hermetic=hermetic)


def digest_of(kind: str, *, spec: JsonObject, refs: Mapping[str, str], blobs: Mapping[str, str]) -> str:
    """The digest of a version whose `refs` are by reference as written."""
    return artifact_digest(kind, spec=spec, refs=bare_refs(refs), blobs=blobs)


def bare_refs(refs: Mapping[str, str]) -> dict[str, str]:
    """References as a digest has them: without version; two versions of one artifact side by side keep what was written."""
    bare: dict[str, set[str]] = {}
    for written, digest in refs.items():
        bare.setdefault(written.partition("@")[0], set()).add(digest)
    return {
        written if len(bare[written.partition("@")[0]]) > 1 else written.partition("@")[0]: digest
        for written, digest in refs.items()
    }


def get_version(db: Connection, project: str, ref: Ref | str) -> Version:
    """The version that `ref` names; a bare reference is the latest. Raises `NotFound` with the nearest name."""
    ref = parse_ref(ref) if isinstance(ref, str) else ref
    check_project(ref, project)
    row = _find(db, project, ref)
    if row is None:
        raise _not_found(db, project, ref)
    return version_of(row)


def find_version(db: Connection, project: str, ref: Ref) -> Version | None:
    """As `get_version`, or None when there is none."""
    check_project(ref, project)
    row = _find(db, project, ref)
    return None if row is None else version_of(row)


def find_by_digest(
    db: Connection, project: str, digest: str, *, kind: str | None = None, name: str | None = None
) -> Version | None:
    """A version with this content, of any artifact or of the one named; the first when several have it."""
    found = find_by_digests(db, project, [digest], kind=kind, name=name)
    return found[0] if found else None


def find_by_digests(
    db: Connection, project: str, digests: Sequence[str], *, kind: str | None = None, name: str | None = None
) -> list[Version]:
    """Every version with one of these contents, in the order of their artifacts."""
    query = select(versions).where(versions.c.project == project, versions.c.digest.in_(digests))
    if kind is not None:
        query = query.where(versions.c.kind == kind)
    if name is not None:
        query = query.where(versions.c.name == name)
    return [version_of(row) for row in db.execute(query.order_by(versions.c.kind, versions.c.name, versions.c.number))]


def list_artifacts(
    db: Connection,
    project: str,
    *,
    kind: str | None = None,
    q: str | None = None,
    tags: Mapping[str, str] | None = None,
    owner: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Artifact]:
    """Artifacts by kind and name, found by their latest version.

    `q` is a part of its name, description, owner or tags, in any case; `tags` are those that it has, with their values.
    """
    check_limit(limit)
    query = (
        select(versions, artifacts.c.last_number, artifacts.c.updated_ns)
        .join(artifacts, and_(_SAME_ARTIFACT, artifacts.c.latest == versions.c.number))
        .where(artifacts.c.project == project)
    )
    if kind is not None:
        query = query.where(artifacts.c.kind == kind)
    if q:
        texts: list[ColumnElement[str]] = [artifacts.c.name, versions.c.description, versions.c.owner]
        if not _JSON_MARKS.intersection(q):  # these stand between the tags
            texts.append(sql_cast(versions.c.tags, String))
        query = query.where(or_(*(text.icontains(q, autoescape=True) for text in texts)))
    for key, value in (tags or {}).items():
        query = query.where(versions.c.tags[key].as_string() == value)
    if owner is not None:
        query = query.where(versions.c.owner == owner)
    if cursor is not None:
        after = parse_ref(cursor)
        query = query.where(tuple_(artifacts.c.kind, artifacts.c.name) > tuple_(after.kind, after.name))
    rows = db.execute(query.order_by(artifacts.c.kind, artifacts.c.name).limit(limit + 1))
    found = [Artifact(latest=version_of(row), versions=row.last_number, updated_ns=row.updated_ns) for row in rows]
    return make_page(found, limit=limit, cursor_of=lambda each: each.bare)


def list_versions(
    db: Connection, project: str, ref: Ref | str, *, limit: int = 100, cursor: str | None = None
) -> Page[Version]:
    """An artifact's versions, newest first. Raises `NotFound` when there is no such artifact."""
    check_limit(limit)
    at = get_version(db, project, (parse_ref(ref) if isinstance(ref, str) else ref).at(None))
    query = select(versions).where(_AT).order_by(versions.c.number.desc()).limit(limit + 1)
    if cursor is not None:
        if not cursor.isdecimal():
            raise Invalid(f"cursor {cursor!r} is not one of this list")
        query = query.where(versions.c.number < int(cursor))
    rows = db.execute(query, {"project": project, "kind": at.kind, "name": at.name})
    return make_page([version_of(row) for row in rows], limit=limit, cursor_of=lambda each: str(each.number))


def is_same(old: Version, wanted: Version) -> bool:
    """Whether keeping `wanted` as the latest would change nothing where `old` is the latest."""
    return all(getattr(old, name) == getattr(wanted, name) for name in ("digest", "description", "tags", "owner"))


def is_hermetic(db: Connection, version: Version) -> bool:
    """Whether the version's digest covers all that it runs."""
    query = select(versions.c.hermetic).where(_AT, versions.c.number == version.number)
    return bool(db.execute(query, {"project": version.project, "kind": version.kind, "name": version.name}).scalar())


def version_of(row: Row[Any]) -> Version:
    """The record in a row that begins with the columns of `versions`."""
    project, kind, name, number, digest, spec, refs, blobs, description, tags, owner, _, _, created_ns, *_ = cast(
        "tuple[Any, ...]", row
    )
    return Version(
        project=project,
        kind=kind,
        name=name,
        number=number,
        digest=digest,
        spec=spec,
        refs=refs,
        blobs=blobs,
        description=description,
        tags=tags,
        owner=owner,
        created_ns=created_ns,
    )


def check_project(ref: Ref, project: str) -> None:
    """Raise `Denied` for a reference into another project: a project is the boundary of access."""
    if ref.project is not None and ref.project != project:
        raise Denied(
            f"{ref} is in another project, and {project!r} cannot see it",
            hint=f"Apply it in {project!r}, or leave the project out.",
        )


def _find(db: Connection, project: str, ref: Ref) -> Row[Any] | None:
    at = {"project": project, "kind": ref.kind, "name": ref.name}
    if ref.version is None or ref.version == LATEST:
        return db.execute(_BY_LATEST, at).first()
    if ref.number is not None:
        return db.execute(_BY_NUMBER, {**at, "number": ref.number}).first()
    if ref.digest is not None:
        return db.execute(_BY_DIGEST, {**at, "digest": ref.digest}).first()
    return db.execute(_BY_ALIAS, {**at, "alias": ref.version}).first()


def _keep(db: Connection, wanted: Version, *, by: str, hermetic: bool) -> tuple[Version, bool]:
    at = {"project": wanted.project, "kind": wanted.kind, "name": wanted.name}
    artifact = db.execute(_ARTIFACT, at).first()
    row = None if artifact is None else db.execute(_BY_DIGEST, {**at, "digest": wanted.digest}).first()
    if row is None and artifact is not None and artifact.deleted:
        row = _restored(db, wanted)
    if row is None:
        number = 1 if artifact is None else artifact.last_number + 1
        kept = replace(wanted, number=number)
        db.execute(_INSERT_VERSION, {**_row(kept), "hermetic": hermetic, "created_by": by})
        note_version(db, kept)
    else:
        kept = _described(db, version_of(row), wanted)
    before = None if artifact is None else artifact.latest  # 0: every version is deleted
    if before != kept.number:
        _move_latest(db, kept, before=before, by=by, now_ns=wanted.created_ns, is_new=row is None)
    return kept, row is None


def _move_latest(db: Connection, kept: Version, *, before: int | None, by: str, now_ns: int, is_new: bool) -> None:
    at = {"project": kept.project, "kind": kept.kind, "name": kept.name}
    if before is None:
        db.execute(_INSERT_ARTIFACT, {**at, "last_number": 1, "latest": 1, "created_ns": now_ns, "updated_ns": now_ns})
    else:
        values = {"latest": kept.number, "updated_ns": now_ns} | ({"last_number": kept.number} if is_new else {})
        db.execute(_MOVE_LATEST, {f"of_{key}": each for key, each in at.items()} | values)
    move = {"alias": LATEST, "before": before or None, "after": kept.number, "moved_by": by, "why": "apply", "moved_ns": now_ns}
    db.execute(_INSERT_MOVE, {**at, **move})


def _restored(db: Connection, wanted: Version) -> Row[Any] | None:
    """The version with this content when it is deleted: it comes back, under its old number."""
    ref = Ref(kind=wanted.kind, name=wanted.name, version=wanted.digest)
    for each in find_deleted(db, wanted.project, ref):
        move_back(db, each.version)
        return _find(db, wanted.project, ref)
    return None


def _described(db: Connection, old: Version, wanted: Version) -> Version:
    """The old version with the description, tags and owner that are wanted now."""
    if is_same(old, wanted):
        return old
    now = {"description": wanted.description, "tags": dict(wanted.tags), "owner": wanted.owner}
    where = {"project": old.project, "kind": old.kind, "name": old.name, "number": old.number}
    db.execute(update(versions).filter_by(**where).values(now))
    row = _find(db, old.project, Ref(kind=old.kind, name=old.name, version=f"v{old.number}"))
    assert row is not None
    return version_of(row)


def _row(version: Version) -> dict[str, Any]:
    return {
        "project": version.project,
        "kind": version.kind,
        "name": version.name,
        "number": version.number,
        "digest": version.digest,
        "spec": version.spec,
        "refs": version.refs,
        "blobs": version.blobs,
        "description": version.description,
        "tags": version.tags,
        "owner": version.owner,
        "created_ns": version.created_ns,
    }


def _not_found(db: Connection, project: str, ref: Ref) -> NotFound:
    gone = find_deleted(db, project, ref)
    if gone:
        each = gone[0]
        when = dt.datetime.fromtimestamp(each.deleted_ns // 10**9, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        why = f": {each.why}" if each.why else ""
        return NotFound(
            f"{ref} was deleted at {when} by {each.deleted_by or 'somebody'}{why}",
            hint=f"Restore it: tidemill restore {ref.bare}{f'@v{each.version.number}' if ref.version else ''}",
        )
    if _find(db, project, ref.at(None)) is not None:
        at = {"project": project, "kind": ref.kind, "name": ref.name}
        where = (aliases.c.project == project, aliases.c.kind == ref.kind, aliases.c.name == ref.name)
        known = [*db.execute(select(aliases.c.alias).where(*where)).scalars(), LATEST]
        last = db.execute(_ARTIFACT, at).one().last_number
        hint = did_you_mean(str(ref.version), known) if ref.alias else f"Versions go from v1 to v{last}."
        return NotFound(f"{ref.bare} has no version {ref.version}", hint=hint)
    bare = select(artifacts.c.kind, artifacts.c.name).where(artifacts.c.project == project, artifacts.c.latest > 0)
    known = [f"{row.kind}/{row.name}" for row in db.execute(bare.limit(5000))]
    same_name = [each for each in known if each.endswith(f"/{ref.name}")]
    near = nearest(ref.bare, [each for each in known if each.startswith(f"{ref.kind}/")]) or next(iter(same_name), None)
    hint = f"Did you mean {near}?" if near else "List what exists: tidemill get"
    return NotFound(f"there is no {ref.bare} in project {project!r}", hint=hint)
