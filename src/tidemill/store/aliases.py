"""Aliases: movable names of versions, each move kept with who and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.extend import Door, PolicyCheck
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, check_alias, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit, environments
from tidemill.store.registry import LATEST, get_version
from tidemill.store.release import ROOT_KINDS, load_bundle
from tidemill.store.tables import alias_moves, aliases

_NOWHERE = 0  # the number of no version


@dataclass(frozen=True, kw_only=True, slots=True)
class Alias:
    """A name that points at a version now."""

    alias: str
    version: Version
    moved_by: str = ""
    moved_ns: int = 0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AliasMove:
    """One move of an alias; `before` is None for the first, `after` None when it was removed. `id` grows from move to move."""

    id: int
    alias: str
    before: int | None
    after: int | None
    moved_by: str
    why: str
    moved_ns: int


def list_aliases(db: Connection, project: str, ref: Ref | str) -> tuple[Alias, ...]:
    """An artifact's aliases by name, and `latest` first. Raises `NotFound` when there is no such artifact."""
    ref = _bare(ref)
    latest = get_version(db, project, ref)
    last = _last_moves(db, project, ref)
    query = select(aliases).where(aliases.c.project == project, aliases.c.kind == ref.kind, aliases.c.name == ref.name)
    found = [
        Alias(
            alias=row.alias,
            version=get_version(db, project, ref.at(f"v{row.number}")),
            moved_by=row.moved_by,
            moved_ns=row.moved_ns,
            why=last[row.alias].why if row.alias in last else "",
        )
        for row in db.execute(query.order_by(aliases.c.alias)).all()
    ]
    moved = last.get(LATEST)
    newest = Alias(alias=LATEST, version=latest)
    if moved is not None:
        newest = replace(newest, moved_by=moved.moved_by, moved_ns=moved.moved_ns, why=moved.why)
    return (newest, *found)


def get_alias(db: Connection, project: str, ref: Ref | str, alias: str) -> Alias:
    """One alias of an artifact. Raises `NotFound` with the nearest."""
    found = {each.alias: each for each in list_aliases(db, project, ref)}
    if alias not in found:
        at = _bare(ref)
        raise NotFound(f"{at.kind}/{at.name} has no alias {alias[:80]!r}", hint=did_you_mean(alias, found))
    return found[alias]


def set_alias(  # noqa: PLR0913  (what moves where, by whom and why)
    db: Connection,
    project: str,
    ref: Ref | str,
    alias: str,
    *,
    now_ns: int,
    policies: PolicyCheck,
    by: str = "",
    role: str | None = None,
    why: str = "",
    expected: str | None = None,
    door: Door = "alias",
) -> Alias:
    """Point `alias` at the version that `ref` names, when `policies` let it; `by` and `role` are those of `PolicyCheck`.

    The alias of an environment that has rules moves by the door `promote` alone, else `Denied`.
    With `expected` (`vN` or a digest), raises `Conflict` when the alias points elsewhere now, so that of two people who
    move it at once one is told.
    """
    if check_alias(alias) == LATEST:
        raise Invalid("latest is moved by apply alone", hint="Choose another alias, as in production.")
    version = get_version(db, project, ref)
    at = {"project": project, "kind": version.kind, "name": version.name, "alias": alias}
    before = db.execute(select(aliases.c.number).filter_by(**at).with_for_update()).scalar()
    if expected is not None:
        _check_expected(db, version, alias, before=before, expected=expected)
    if before != version.number:
        if door == "alias":
            environments.check_alias_door(db, project, version.bare, alias)
        target, digest = f"{version.bare}@{alias}", _subject(db, version)
        policies.check(db, project, door=door, target=target, release=digest, who=by, role=role)
        moved = {"moved_by": by, "moved_ns": now_ns}
        db.execute(delete(aliases).filter_by(**at))
        db.execute(insert(aliases), {**at, "number": version.number, **moved})
        db.execute(insert(alias_moves), {**at, "before": before, "after": version.number, "why": why, **moved})
        detail: JsonObject = {"before": before, "after": version.number, "release": digest, "why": why}
        audit.append(db, project, who=by, action="alias", target=target, detail=detail, now_ns=now_ns)
    return Alias(alias=alias, version=version, moved_by=by, moved_ns=now_ns)


def remove_alias(  # noqa: PLR0913  (what goes, by whom and why)
    db: Connection,
    project: str,
    ref: Ref | str,
    alias: str,
    *,
    now_ns: int,
    policies: PolicyCheck,
    by: str = "",
    role: str | None = None,
    why: str = "",
    expected: str | None = None,
) -> Alias:
    """Take an alias away, through the same door as moving it: what it points at must be what may be there.

    The alias as it was. Raises `NotFound` when there is none, `Conflict` as `set_alias`, and whatever `policies` raise.
    """
    if check_alias(alias) == LATEST:
        raise Invalid("latest is moved by apply alone", hint=f"Delete the artifact: tidemill delete {_bare(ref)}")
    version = get_version(db, project, _bare(ref).at(alias))
    if expected is not None:
        _check_expected(db, version, alias, before=version.number, expected=expected)
    environments.check_alias_door(db, project, version.bare, alias)
    target, digest = f"{version.bare}@{alias}", _subject(db, version)
    policies.check(db, project, door="alias", target=target, release=digest, who=by, role=role)
    at = {"project": project, "kind": version.kind, "name": version.name, "alias": alias}
    db.execute(delete(aliases).filter_by(**at))
    moved = {"moved_by": by, "moved_ns": now_ns, "why": why}
    db.execute(insert(alias_moves), {**at, "before": version.number, "after": _NOWHERE, **moved})
    detail: JsonObject = {"before": version.number, "after": None, "release": digest, "why": why}
    audit.append(db, project, who=by, action="alias.removed", target=target, detail=detail, now_ns=now_ns)
    return Alias(alias=alias, version=version, moved_by=by, moved_ns=now_ns, why=why)


def list_alias_moves(
    db: Connection, project: str, ref: Ref | str, *, alias: str | None = None, limit: int = 100, before: int | None = None
) -> tuple[AliasMove, ...]:
    """Where the artifact's aliases, or one of them, pointed over time, newest first; `latest` too.

    `before` is the id of a move: only older ones.
    """
    ref = _bare(ref)
    query = select(alias_moves).filter_by(project=project, kind=ref.kind, name=ref.name)
    if alias is not None:
        query = query.filter_by(alias=alias)
    if before is not None:
        query = query.where(alias_moves.c.id < before)
    return tuple(_move(row) for row in db.execute(query.order_by(alias_moves.c.id.desc()).limit(limit)))


def _last_moves(db: Connection, project: str, ref: Ref) -> dict[str, AliasMove]:
    """The newest move of each alias."""
    of = {"project": project, "kind": ref.kind, "name": ref.name}
    newest = select(func.max(alias_moves.c.id)).filter_by(**of).group_by(alias_moves.c.alias)
    rows = db.execute(select(alias_moves).where(alias_moves.c.id.in_(newest)))
    return {row.alias: _move(row) for row in rows}


def _move(row: Row[Any]) -> AliasMove:
    return AliasMove(
        id=row.id,
        alias=row.alias,
        before=row.before,
        after=None if row.after == _NOWHERE else row.after,
        moved_by=row.moved_by,
        why=row.why,
        moved_ns=row.moved_ns,
    )


def _subject(db: Connection, version: Version) -> str:
    """The digest that approvals and evaluations of this version are of: its release's, when it can have one."""
    return load_bundle(db, version.project, parse_ref(version.ref)).release if version.kind in ROOT_KINDS else version.digest


def _bare(ref: Ref | str) -> Ref:
    return (parse_ref(ref) if isinstance(ref, str) else ref).at(None)


def _check_expected(db: Connection, version: Version, alias: str, *, before: int | None, expected: str) -> None:
    ref = Ref(kind=version.kind, name=version.name, version=f"v{before}")
    now = get_version(db, version.project, ref) if before is not None else None
    if now is None or expected not in {f"v{now.number}", now.digest}:
        place = "nothing" if now is None else f"v{now.number}"
        raise Conflict(
            f"{version.bare}@{alias} points at {place} now, not at {expected}",
            hint="Somebody moved it. Look at it again, then decide.",
        )
