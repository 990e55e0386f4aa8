"""The versions of an archive: each digest recomputed, each merged with what the project has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sqlalchemy import Connection, insert, select, update

from tidemill.core.errors import Invalid
from tidemill.core.refs import Ref, check_name, is_digest, parse_ref
from tidemill.store.archive import Archive, blob_name
from tidemill.store.deleted import deleted_versions
from tidemill.store.export import file_of
from tidemill.store.import_report import Report, Rules
from tidemill.store.registry import LATEST, digest_of
from tidemill.store.tables import alias_moves, artifacts, versions

_BATCH: Final = 200
_CHANGED: Final = "The archive was changed since it was made. Nothing was imported."


@dataclass(slots=True)
class Numbers:
    """Which number each version of the archive has here; `renamed` are references whose number changed."""

    here: dict[tuple[str, str, int], int] = field(default_factory=dict[tuple[str, str, int], int])
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    made: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Artifacts that were not here before."""


@dataclass(slots=True)
class _Taken:
    """What the project has of one artifact: numbers by digest, and every number that was ever given."""

    by_digest: dict[str, int]
    used: set[int]
    last: int
    latest: int | None


def import_versions(
    db: Connection,
    project: str,
    archive: Archive,
    *,
    rules: Rules,
    report: Report,
    kinds: Mapping[str, bool],
    has_blob: Callable[[str], bool],
) -> Numbers:
    """Keep every version that is not here; which number each has now.

    Raises `Invalid`, naming the version, for a digest that its content does not have, a blob that is nowhere, a reference to
    what neither the archive nor the project has, or a kind that is not installed.
    """
    known = {str(row["digest"]) for row in archive.rows(file_of("versions"))}
    sources = _sources(archive)
    numbers, taken = Numbers(), dict[tuple[str, str], _Taken]()
    waiting: list[dict[str, Any]] = []
    for row in archive.rows(file_of("versions")):
        _check(db, project, row, archive=archive, known=known, kinds=kinds, has_blob=has_blob)
        key = (str(row["kind"]), str(row["name"]))
        if key not in taken and (taken.setdefault(key, _taken(db, project, *key)).latest is None):
            numbers.made.add(key)
        number, is_new = _number(taken[key], row, most=sources[key][0])
        numbers.here[(*key, int(row["number"]))] = number
        report.count("versions", is_new=is_new)
        if is_new:
            waiting.append({**row, "project": project, "number": number})
        if number != row["number"]:
            _tell(key, row["number"], number, numbers=numbers, report=report)
        if len(waiting) >= _BATCH:
            db.execute(insert(versions), waiting)
            waiting.clear()
    if waiting:
        db.execute(insert(versions), waiting)
    for key, there in taken.items():
        _artifact(db, project, key, there, archive_latest=sources[key][1], numbers=numbers, rules=rules)
    return numbers


def _tell(key: tuple[str, str], before: int, now: int, *, numbers: Numbers, report: Report) -> None:
    """Note that a version has another number here."""
    was, told = (str(Ref(kind=key[0], name=key[1], version=f"v{each}")) for each in (before, now))
    numbers.renamed[was] = told
    report.renumbered.append({"from": was, "to": told})


def _check(
    db: Connection,
    project: str,
    row: Mapping[str, Any],
    *,
    archive: Archive,
    known: set[str],
    kinds: Mapping[str, bool],
    has_blob: Callable[[str], bool],
) -> None:
    name = f"{row.get('kind')}/{row.get('name')}@v{row.get('number')}"
    expected = {each.name for each in versions.columns} - {"project"}
    if set(row) != expected or not isinstance(row["number"], int) or row["number"] < 1:
        raise Invalid(f"{name} in the archive has not the columns of a version", hint=_CHANGED)
    check_name(str(row["name"]))
    if row["kind"] != "release" and not kinds.get(str(row["kind"]), False):
        raise Invalid(f"{name}: the kind {row['kind']!r} is not installed here", hint="Install what brings it, then import.")
    if not all(isinstance(row[each], Mapping) for each in ("spec", "refs", "blobs", "tags")):
        raise Invalid(f"{name} in the archive has not the form of a version", hint=_CHANGED)
    found = digest_of(str(row["kind"]), spec=row["spec"], refs=row["refs"], blobs=row["blobs"])
    if found != row["digest"]:
        raise Invalid(f"{name} has the digest {found}, and the archive says {row['digest']}", hint=_CHANGED)
    for role, digest in row["blobs"].items():
        place = blob_name(str(digest))
        if not (archive.has(place) or archive.has(f"{place}.erased") or has_blob(str(digest))):
            raise Invalid(f"{name} needs the blob {digest} ({role}), which is neither here nor in the archive", hint=_CHANGED)
    for needed in _needed(row):
        if needed not in known and not _is_here(db, project, needed):
            raise Invalid(
                f"{name} needs {needed}, which is neither here nor in the archive",
                hint="Export it with what it needs: without --since, or with --only naming it.",
            )


def _needed(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(digest) for digest in row["refs"].values())
    locked: object = row["spec"].get("artifacts") if row["kind"] == "release" else None
    if isinstance(locked, Mapping):
        for each in cast("Mapping[str, Any]", locked).values():
            digest = cast("Mapping[str, Any]", each).get("digest") if isinstance(each, Mapping) else None
            if not isinstance(digest, str) or not is_digest(digest):
                raise Invalid(f"release/{row['name']} in the archive locks {digest!r}, which is not a digest", hint=_CHANGED)
            yield digest


def _is_here(db: Connection, project: str, digest: str) -> bool:
    return db.execute(select(versions.c.number).filter_by(project=project, digest=digest).limit(1)).first() is not None


def _sources(archive: Archive) -> dict[tuple[str, str], tuple[int, int | None]]:
    """The highest number and the latest of each artifact of the archive."""
    found: dict[tuple[str, str], tuple[int, int | None]] = {}
    for row in archive.rows(file_of("versions")):
        key = (str(row["kind"]), str(row["name"]))
        number = row["number"] if isinstance(row["number"], int) else 0
        found[key] = (max(number, found.get(key, (0, None))[0]), None)
    for row in archive.rows(file_of("artifacts")):
        key = (str(row["kind"]), str(row["name"]))
        if key in found:
            parse_ref(f"{key[0]}/{key[1]}")
            found[key] = (max(found[key][0], int(row["last_number"])), int(row["latest"]))
    return found


def _taken(db: Connection, project: str, kind: str, name: str) -> _Taken:
    at = {"project": project, "kind": kind, "name": name}
    artifact = db.execute(select(artifacts.c.last_number, artifacts.c.latest).filter_by(**at).with_for_update()).first()
    rows = db.execute(select(versions.c.number, versions.c.digest).filter_by(**at)).all()
    gone = db.execute(select(deleted_versions.c.number).filter_by(**at)).scalars()
    return _Taken(
        by_digest={row.digest: row.number for row in rows},
        used={*(row.number for row in rows), *gone},
        last=0 if artifact is None else artifact.last_number,
        latest=None if artifact is None else artifact.latest,
    )


def _number(taken: _Taken, row: Mapping[str, Any], *, most: int) -> tuple[int, bool]:
    """The number that the version has here: its own where it is free, else one that neither side has given."""
    known = taken.by_digest.get(row["digest"])
    if known is not None:
        return known, False
    number = int(row["number"])
    if number in taken.used:
        number = max(taken.last, most, *taken.used) + 1
    taken.used.add(number)
    taken.by_digest[row["digest"]] = number
    taken.last = max(taken.last, number)
    return number, True


def _artifact(
    db: Connection,
    project: str,
    key: tuple[str, str],
    there: _Taken,
    *,
    archive_latest: int | None,
    numbers: Numbers,
    rules: Rules,
) -> None:
    """The row of the artifact; the latest of one that is new here is the archive's, of another it stays."""
    at = {"project": project, "kind": key[0], "name": key[1]}
    if there.latest is not None:
        db.execute(update(artifacts).filter_by(**at).values(last_number=there.last))
        return
    latest = numbers.here.get((*key, archive_latest or 0), max(there.by_digest.values()))
    times = {"created_ns": rules.now_ns, "updated_ns": rules.now_ns}
    db.execute(insert(artifacts), {**at, "last_number": there.last, "latest": latest, **times})
    move = {"alias": LATEST, "before": None, "after": latest, "moved_by": rules.by, "why": "import"}
    db.execute(insert(alias_moves), {**at, **move, "moved_ns": rules.now_ns})
