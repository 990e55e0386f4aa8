"""People and service accounts, and what is granted and denied to them; see `tidemill.store.grants` for what that means."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit
from tidemill.store.grants import (
    EVERY_PROJECT,
    EVERY_RIGHT,
    EVERYTHING,
    NARROWED,
    Effect,
    Grant,
    Role,
    Standing,
    check_rights,
    check_role,
    in_order,
)
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.projects import SYSTEM
from tidemill.store.tables import keys, metadata

_LONGEST: Final = 254  # an address, RFC 5321
_MOST: Final = 500  # rules of one member in one project
_ADDRESS = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}")
_PATTERN = re.compile(r"[a-z_*?][a-z0-9_.*?-]{0,63}/[a-z0-9._*?@-]{1,200}")

members = Table(
    "members",
    metadata,
    Column("name", String, primary_key=True, nullable=False),
    Column("is_service", Boolean, nullable=False),
    Column("email", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("disabled_ns", BigInteger, nullable=True),
)
grants = Table(
    "grants",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("member", String, nullable=False),
    Column("project", String, nullable=False),  # `*`: every project
    Column("effect", String, nullable=False),
    Column("role", String, nullable=True),
    Column("rights", JSON(none_as_null=True), nullable=False),
    Column("pattern", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Index("grants_by_member", "member", "project"),
    Index("grants_by_project", "project", "id"),
)
_MEMBER = select(members.c.name, members.c.is_service, members.c.disabled_ns).where(members.c.name == bindparam("name"))
_GRANTS = select(grants).where(grants.c.member == bindparam("name")).order_by(grants.c.created_ns, grants.c.id)
_GRANTS_HERE = _GRANTS.where(grants.c.project.in_([bindparam("project"), EVERY_PROJECT]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A person or a service account."""

    name: str
    is_service: bool
    email: str
    created_ns: int
    created_by: str
    disabled_ns: int | None = None

    @property
    def who(self) -> str:
        """As the audit names them."""
        return f"{'service' if self.is_service else 'person'}/{self.name}"


def add_member(
    db: Connection, name: str, *, email: str = "", is_service: bool = False, now_ns: int, by: str
) -> tuple[Member, tuple[Grant, ...]]:
    """Add somebody, with the roles of the keys that bear their name as grants, so that those keep working.

    Raises `Conflict` when there is one of this name, `Invalid` for a name or an address that is none.
    """
    check_name(name, what="person")
    check_email(email)
    if db.execute(_MEMBER, {"name": name}).first() is not None:
        raise Conflict(f"there is {name!r} already", hint=f"See: tidemill people show {name}")
    row = {"name": name, "is_service": is_service, "email": email, "created_ns": now_ns, "created_by": by}
    db.execute(insert(members), row)
    member = get_member(db, name)
    detail: JsonObject = {"service": is_service, "email": email}
    audit.append(db, SYSTEM, who=by, action="person.added", target=member.who, detail=detail, now_ns=now_ns)
    return member, tuple(
        add_grant(db, name, project=project, effect="allow", role=role, now_ns=now_ns, by=by)
        for project, role in _held(db, name, now_ns=now_ns)
    )


def change_member(
    db: Connection, name: str, *, email: str | None = None, is_disabled: bool | None = None, now_ns: int, by: str
) -> Member:
    """Change the address, disable somebody, or let them back in; what is None stays. Raises `NotFound`, `Invalid`."""
    before = get_member(db, name)
    values: dict[str, Any] = {}
    actions: list[tuple[str, JsonObject]] = []
    if email is not None and email != before.email:
        values["email"] = check_email(email)
        actions.append(("person.changed", {"email": email}))
    if is_disabled is not None and is_disabled != (before.disabled_ns is not None):
        values["disabled_ns"] = now_ns if is_disabled else None
        actions.append(("person.disabled" if is_disabled else "person.enabled", {}))
    if values:
        db.execute(update(members).where(members.c.name == name).values(**values))
    for action, detail in actions:
        audit.append(db, SYSTEM, who=by, action=action, target=before.who, detail=detail, now_ns=now_ns)
    return get_member(db, name)


def get_member(db: Connection, name: str) -> Member:
    """One of them. Raises `NotFound` with the nearest name."""
    row = db.execute(select(members).where(members.c.name == name)).first()
    if row is None:
        known = list(db.execute(select(members.c.name).order_by(members.c.name).limit(1000)).scalars())
        near = did_you_mean(name[:80], known) if known else ""
        raise NotFound(f"there is nobody called {name[:80]!r}", hint=near or f"Add them: tidemill people add {name[:80]}")
    return _member(row)


def list_members(db: Connection, *, limit: int = 100, cursor: str | None = None) -> Page[Member]:
    """Everybody, by name."""
    check_limit(limit)
    query = select(members)
    if cursor is not None:
        try:
            check_name(cursor, what="person")
        except Invalid as error:
            raise Invalid(f"cursor {cursor[:80]!r} is not one of this list") from error
        query = query.where(members.c.name > cursor)
    rows = db.execute(query.order_by(members.c.name).limit(limit + 1)).all()
    return make_page([_member(row) for row in rows], limit=limit, cursor_of=lambda each: each.name)


def add_grant(  # noqa: PLR0913  (what a rule says, and who and when)
    db: Connection,
    member: str,
    *,
    project: str,
    effect: Effect,
    role: str | None = None,
    rights: Iterable[str] = (),
    pattern: str = EVERYTHING,
    now_ns: int,
    by: str,
) -> Grant:
    """Grant or deny. The same rule again is the one that is there. A denial without rights denies everything.

    Raises `NotFound` for nobody known, `Invalid` for a role, a right, or a pattern that is none or narrows nothing.
    """
    found = get_member(db, member)
    named = in_order(check_rights(rights))
    if effect == "deny" and role is not None:
        raise Invalid("a denial names what is denied, not a role", where="role", hint="Write verbs, as in deny ana deploy.")
    if effect == "allow" and (role is None) == (not named):
        raise Invalid("a grant is either a role or some verbs", where="role", hint="Write one: developer, or deploy,approve.")
    if role is not None:
        check_role(role)
    named = list(EVERY_RIGHT) if effect == "deny" and not named else named
    _check_pattern(pattern, role=role, named=frozenset(named))
    same = (grants.c.member == member, grants.c.project == project, grants.c.effect == effect, grants.c.pattern == pattern)
    existing = [_grant(row) for row in db.execute(select(grants).where(*same).order_by(grants.c.id)).all()]
    for each in existing:
        if (each.role, each.rights) == (role, frozenset(named)):
            return each
    if len(existing) >= _MOST:
        raise Conflict(f"{member} has {_MOST} rules here already", hint="Revoke some, or use a pattern.")
    grant_id = f"g{secrets.token_hex(4)}"
    row = {"id": grant_id, "member": member, "project": project, "effect": effect, "role": role, "rights": named}
    db.execute(insert(grants), {**row, "pattern": pattern, "created_ns": now_ns, "created_by": by})
    made = get_grant(db, project, grant_id)
    action = "access.granted" if effect == "allow" else "access.denial_set"
    audit.append(db, _chain(project), who=by, action=action, target=found.who, detail=_told(made), now_ns=now_ns)
    return made


def remove_grant(db: Connection, project: str, grant_id: str, *, now_ns: int, by: str) -> Grant:
    """Take a grant or a denial back. Raises `NotFound`."""
    found = get_grant(db, project, grant_id)
    db.execute(delete(grants).where(grants.c.id == found.id))
    action = "access.revoked" if found.effect == "allow" else "access.denial_lifted"
    who = get_member(db, found.member).who
    audit.append(db, _chain(project), who=by, action=action, target=who, detail=_told(found), now_ns=now_ns)
    return found


def get_grant(db: Connection, project: str, grant_id: str) -> Grant:
    """A rule of the project. Raises `NotFound`."""
    row = db.execute(select(grants).where(grants.c.id == grant_id, grants.c.project == project)).first()
    if row is None:
        raise NotFound(f"there is no rule {grant_id[:80]!r} here", hint="List them: tidemill access list")
    return _grant(row)


def list_grants(
    db: Connection, project: str, *, member: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Grant]:
    """The rules of a project and those of every project, by id."""
    check_limit(limit)
    query = select(grants).where(grants.c.project.in_([project, EVERY_PROJECT]))
    if member is not None:
        query = query.where(grants.c.member == member)
    if cursor is not None:
        if not re.fullmatch(r"g[0-9a-f]{8}", cursor):
            raise Invalid(f"cursor {cursor[:80]!r} is not one of this list")
        query = query.where(grants.c.id > cursor)
    rows = db.execute(query.order_by(grants.c.id).limit(limit + 1)).all()
    return make_page([_grant(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def standing_of(db: Connection, name: str, *, project: str | None = None) -> Standing | None:
    """How a member stands, in one project or in all; None for a name that is no member's."""
    row = db.execute(_MEMBER, {"name": name}).first()
    if row is None:
        return None
    query, values = (_GRANTS, {"name": name}) if project is None else (_GRANTS_HERE, {"name": name, "project": project})
    found = tuple(_grant(each) for each in db.execute(query, values))
    return Standing(member=row.name, is_service=row.is_service, is_disabled=row.disabled_ns is not None, grants=found)


def check_email(email: str) -> str:
    """Return the address; empty is none. Raises `Invalid` for what is no address."""
    if email and (len(email) > _LONGEST or not _ADDRESS.fullmatch(email)):
        raise Invalid(f"{email[:80]!r} is not an e-mail address", where="email", hint="Write name@example.org.")
    return email


def _check_pattern(pattern: str, *, role: str | None, named: frozenset[str]) -> None:
    if pattern == EVERYTHING:
        return
    if not _PATTERN.fullmatch(pattern):
        raise Invalid(
            f"{pattern[:80]!r} is not a pattern", where="on", hint="Write kind/NAME with * for anything: endpoint/prod-*."
        )
    if role is None and (idle := named - NARROWED):
        wide = ", ".join(each for each in EVERY_RIGHT if each in idle)
        raise Invalid(
            f"{wide} is of the whole project, and a pattern does not narrow it",
            where="on",
            hint=f"A pattern narrows {', '.join(in_order(NARROWED))}. Leave --on out, or name those.",
        )


def _held(db: Connection, name: str, *, now_ns: int) -> list[tuple[str, Role]]:
    """Project and role of every working key that bears a name."""
    query = select(keys.c.project, keys.c.role, keys.c.expires_ns).where(keys.c.person == name, keys.c.revoked_ns.is_(None))
    rows = db.execute(query.order_by(keys.c.project, keys.c.role)).all()
    return sorted({(row.project, row.role) for row in rows if row.expires_ns is None or row.expires_ns > now_ns})


def _chain(project: str) -> str:
    return SYSTEM if project == EVERY_PROJECT else project


def _told(grant: Grant) -> JsonObject:
    return {"rule": grant.id, "role": grant.role, "rights": list(in_order(grant.rights)), "on": grant.pattern}


def _member(row: Row[Any]) -> Member:
    return Member(**{name: getattr(row, name) for name in Member.__dataclass_fields__})


def _grant(row: Row[Any]) -> Grant:
    values: dict[str, Any] = {name: getattr(row, name) for name in Grant.__dataclass_fields__}
    values["rights"] = check_rights(row.rights)
    return Grant(**values)
