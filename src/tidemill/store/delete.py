"""Deleting versions softly, and restoring them: refused while anything depends on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, func, insert, select, update

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store import audit
from tidemill.store.deleted import find_deleted, move_away, move_back
from tidemill.store.dependents import dependents
from tidemill.store.registry import LATEST, find_version, get_version, version_of
from tidemill.store.tables import alias_moves, artifacts, versions

LatestMoves: TypeAlias = Callable[[Connection, Version | None, Version | None], None]
"""Asked with an artifact's latest version before and after; raises when whoever acts may not change it so."""
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """Versions that were deleted or restored, newest first, and the artifact's latest version now."""

    versions: tuple[Version, ...]
    latest: Version | None


def delete_versions(
    db: Connection,
    project: str,
    ref: Ref | str,
    *,
    by: str,
    now_ns: int,
    may: LatestMoves,
    why: str = "",
    although_evaluated: bool = False,
) -> Removed:
    """Delete the version that `ref` names; without one, the artifact with all its versions. They can be restored.

    Raises `NotFound`, and `Conflict`, naming each and what to do, while anything depends on what would go. When the latest
    version goes, the newest that is left becomes the latest; `may` is asked then.
    """
    ref = parse_ref(ref) if isinstance(ref, str) else ref
    named = get_version(db, project, ref)
    bare = ref.at(None)
    before = find_version(db, project, bare)
    gone = (named,) if ref.version is not None else _all(db, named)
    whole = len(gone) == db.execute(select(func.count()).select_from(versions).filter_by(**_at(named))).scalar_one()
    _check(db, project, ref, gone, whole=whole, although_evaluated=although_evaluated)
    for each in gone:
        was_latest = before is not None and each.number == before.number
        move_away(db, each, by=by, now_ns=now_ns, why=why, was_latest=was_latest)
    latest = before
    if before is None or any(each.number == before.number for each in gone):
        left = db.execute(select(func.max(versions.c.number)).filter_by(**_at(named))).scalar()
        latest = _move_latest(db, named, before=before, to=left, by=by, now_ns=now_ns, why="delete")
        may(db, before, latest)
    detail: JsonObject = {
        "versions": [each.ref for each in gone],
        "digests": [each.digest for each in gone],
        "latest": latest and latest.ref,
        "why": why,
    }
    audit.append(db, project, who=by, action="delete", target=str(ref), detail=detail, now_ns=now_ns)
    return Removed(versions=gone, latest=latest)


def restore_versions(
    db: Connection, project: str, ref: Ref | str, *, by: str, now_ns: int, may: LatestMoves, why: str = ""
) -> Removed:
    """Restore the deleted version that `ref` names; without one, every deleted version of the artifact.

    What was the latest is so again unless a newer one came meanwhile. Raises `NotFound` when nothing deleted is called so.
    """
    ref = parse_ref(ref) if isinstance(ref, str) else ref
    found = find_deleted(db, project, ref)
    if not found:
        raise NotFound(f"no deleted version is called {ref}", hint="List what is deleted: tidemill get --deleted")
    before = find_version(db, project, ref.at(None))
    back = tuple(each.version for each in found)
    for each in back:
        move_back(db, each)
    latest = before
    candidates = [each.version.number for each in found if each.was_latest] or ([] if before else [back[0].number])
    if candidates and (before is None or max(candidates) > before.number):
        latest = _move_latest(db, back[0], before=before, to=max(candidates), by=by, now_ns=now_ns, why="restore")
        may(db, before, latest)
    detail: JsonObject = {"versions": [each.ref for each in back], "latest": latest and latest.ref, "why": why}
    audit.append(db, project, who=by, action="restore", target=str(ref), detail=detail, now_ns=now_ns)
    return Removed(versions=back, latest=latest)


def _check(db: Connection, project: str, ref: Ref, gone: Sequence[Version], *, whole: bool, although_evaluated: bool) -> None:
    problems = dependents(db, project, gone, whole=whole, although_evaluated=although_evaluated)
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise Conflict(
            f"{ref} cannot be deleted: {problems[0].message}{more}", hint=problems[0].hint, problems=problems[:_SHOWN]
        )


def _all(db: Connection, named: Version) -> tuple[Version, ...]:
    query = select(versions).filter_by(**_at(named)).order_by(versions.c.number.desc())
    return tuple(version_of(row) for row in db.execute(query))


def _move_latest(
    db: Connection, of: Version, *, before: Version | None, to: int | None, by: str, now_ns: int, why: str
) -> Version | None:
    """Let `latest` point at this number, 0 for none, and note the move; the version that it is then."""
    db.execute(update(artifacts).filter_by(**_at(of)).values(latest=to or 0, updated_ns=now_ns))
    move = {"alias": LATEST, "before": before and before.number, "after": to or 0}
    db.execute(insert(alias_moves), {**_at(of), **move, "moved_by": by, "why": why, "moved_ns": now_ns})
    return find_version(db, of.project, Ref(kind=of.kind, name=of.name)) if to else None


def _at(version: Version) -> dict[str, str]:
    return {"project": version.project, "kind": version.kind, "name": version.name}
