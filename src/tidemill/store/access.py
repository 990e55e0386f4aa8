"""Who may come in: API keys by project, and the admin token. Only hashes are kept.

A secret has 256 random bits, so one round of SHA-256 keeps it: there is nothing to guess that a slow hash would protect.
A key that is unknown, revoked or expired, and one of somebody disabled, are refused in the same words.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.store import audit
from tidemill.store.grants import RIGHTS, ROLES, Decision, Right, Role, Standing, check_rights, check_role, in_order, meet
from tidemill.store.members import standing_of
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.projects import ensure_project, no_project
from tidemill.store.tables import keys

__all__ = ["ROLES", "Key", "Principal", "Role", "authenticate", "create_key", "hash_token"]

_FORM = re.compile(r"tm_(?P<id>[0-9a-z]{1,32})_(?P<secret>[A-Za-z0-9_-]{16,128})")
_CURSOR = re.compile(r"(?P<created>\d{1,20})\.(?P<id>[0-9a-z]{1,32})")
_ADMIN: Final = "admin"
_HINT = "Send Authorization: Bearer tm_…; the admin token is in the data folder's file `token`."
_KEY = select(keys).where(keys.c.id == bindparam("id"))
_NEVER: Final = 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking. `project` None: not yet known, see `within`; `is_admin`: every project; `endpoints` None: all of them.

    `rights` None: all that the role has. `standing` is what is granted to whose key or session it is, when they are a member.
    `models` names the models that the key may call by name, `limits` what it may use, `team` whose budget it draws on. A key
    that names endpoints or models is for those only.
    """

    project: str | None
    is_admin: bool
    endpoints: frozenset[str] | None
    key_id: str
    role: Role
    person: str | None = None
    rights: frozenset[Right] | None = None
    standing: Standing | None = None
    expires_ns: int | None = None
    session: str | None = None
    is_key: bool = True
    models: frozenset[str] | None = None
    limits: JsonObject | None = None
    team: str | None = None

    @property
    def who(self) -> str:
        """How the audit names them: the person whose key it is, else the key; `admin` for the admin token."""
        if self.is_admin:
            return _ADMIN
        if self.standing is not None:
            return self.standing.who
        return f"key/{self.key_id}" if self.person is None else f"person/{self.person}"

    @property
    def may_administer_all(self) -> bool:
        """Whether projects and people are theirs to make: the admin token's, and whoever is granted admin in every project."""
        if self.is_admin:
            return True
        return not self.is_key and self.standing is not None and self.standing.within("*").decide("administer").allowed

    def within(self, project: str) -> Principal:
        """The same in one project. Where they are nobody raises `NotFound`, the same whether there is such a project or not."""
        if self.is_admin:
            return self
        standing = None if self.standing is None else self.standing.within(project)
        if (self.is_key and self.project != project) or not (standing is None or standing.decide("read").allowed):
            raise no_project(project)
        role = self.role
        if standing is not None:
            role = meet(role, standing.role()) if self.is_key else standing.role()
        return replace(self, project=project, standing=standing, role=role)

    def decide(self, right: Right, target: str = "") -> Decision:
        """Whether they may do this to `target` (empty: the whole project), and why. Asked of what `within` gave."""
        if self.is_admin:
            return Decision(allowed=True, why="the admin token may do everything")
        held = self._by_key(right)
        return held if self.standing is None or not held.allowed else self.standing.decide(right, target)

    def may_somewhere(self, right: Right) -> bool:
        """Whether there may be a target for which `decide` allows it."""
        return self.is_admin or (self._by_key(right).allowed and (self.standing is None or self.standing.may_somewhere(right)))

    def may_hand_on(self, right: Right, *, to: str | None = None) -> bool:
        """Whether they may let somebody do it; to themselves whatever they may, for what is denied to them stays denied."""
        if not self.decide(right).allowed:
            return False
        return self.standing is None or self.standing.may_hand_on(right) or to == self.standing.member

    def check_endpoint(self, name: str) -> None:
        """Raise `Denied` when the key is not for this endpoint."""
        if self.endpoints is not None and name not in self.endpoints:
            raise Denied(f"key {self.key_id} is not for endpoint/{name}", hint="Ask for a key that is.")

    def may_call(self, kind: str, name: str) -> bool:
        """Whether the key may call this model, route or application by its name."""
        return self.endpoints is None or (self.models is not None and _named(kind, name) in self.models)

    def check_application(self, kind: str, name: str) -> None:
        """Raise `Denied` when the key may not call this model, route or application by its name."""
        if self.may_call(kind, name):
            return
        what = f"key {self.key_id} is not for {kind}/{name}"
        if self.models is None:
            raise Denied(f"{what}: it is for endpoints only", where="model", hint="Ask for a key that is.")
        known = ", ".join(each if "/" in each else f"model/{each}" for each in sorted(self.models))
        raise Denied(what, where="model", hint=f"It is for {known or 'no model'}. Ask for a key that is.")

    def _by_key(self, right: Right) -> Decision:
        if not self.is_key:
            return Decision(allowed=True, why="a session is as wide as the person's grants")
        if self.rights is not None and right not in self.rights:
            return Decision(allowed=False, why=f"key {self.key_id} is for {', '.join(in_order(self.rights)) or 'nothing'} only")
        if self.standing is None and right not in RIGHTS[self.role]:
            article = "an" if self.role[0] in "ao" else "a"
            return Decision(allowed=False, why=f"{article} {self.role} may not {right}")
        return Decision(allowed=True, why=f"key {self.key_id} has the role {self.role}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as it is listed; its secret is shown once, when it is made."""

    id: str
    project: str
    role: Role
    endpoints: tuple[str, ...] | None
    created_ns: int
    revoked_ns: int | None = None
    person: str | None = None
    rights: frozenset[Right] | None = None
    expires_ns: int | None = None
    used_ns: int | None = None
    models: tuple[str, ...] | None = None
    limits: JsonObject | None = None
    team: str | None = None

    def state(self, now_ns: int) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.expires_ns is not None and now_ns >= self.expires_ns else "valid"


def new_admin_token() -> str:
    """A fresh admin token."""
    return f"tm_{_ADMIN}_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def create_key(  # noqa: PLR0913  (what a key is)
    db: Connection,
    project: str,
    *,
    now_ns: int,
    endpoints: Sequence[str] | None = None,
    role: str = "developer",
    person: str | None = None,
    may: Iterable[str] | None = None,
    expires_ns: int | None = None,
    models: Sequence[str] | None = None,
    limits: JsonObject | None = None,
    team: str | None = None,
    by: str = "",
) -> tuple[str, str]:
    """Make a key for a project, which is made when there is none; its id, and the text `tm_<id>_<secret>`, kept nowhere.

    `person` is whose it is: what they do with it stands in the audit under their name. `may` narrows what the role may do,
    `expires_ns` is when it ends. `models` are the only ones that it may call (None: all); `limits` what it may use, checked
    by `models.limits`; `team` whose budget it draws on, too. Raises `Invalid`, also for an end that has passed.
    """
    check_role(role)
    rights = None if may is None else in_order(check_rights(may))
    if rights is not None and not rights:
        raise Invalid("the key may do nothing", where="may", hint="Write what it may, as in --may read,annotate.")
    if expires_ns is not None and expires_ns <= now_ns:
        raise Invalid("the key would have expired already", where="expires", hint="Write how long it holds: --expires 30d.")
    ensure_project(db, project, now_ns=now_ns, by=by)
    scope = None if endpoints is None else sorted({_endpoint(each) for each in endpoints})
    values: dict[str, Any] = {"project": project, "role": role, "rights": rights, "expires_ns": expires_ns, "limits": limits}
    values["person"] = None if person is None else check_name(person, what="person")
    values["team"] = None if team is None else check_name(team, what="team")
    values["models"] = None if models is None else sorted({_model(each) for each in models})
    key_id, text = _insert(db, {**values, "endpoints": {"names": scope}, "created_ns": now_ns})
    detail: JsonObject = {"role": role, "person": person, "endpoints": scope}
    detail = {**detail, **({"may": list(rights)} if rights is not None else {})}
    detail = {**detail, **({"expires_ns": str(expires_ns)} if expires_ns is not None else {})}
    detail = {**detail, **{name: values[name] for name in ("models", "limits", "team") if values[name] is not None}}
    audit.append(db, project, who=by, action="key.created", target=f"key/{key_id}", detail=detail, now_ns=now_ns)
    return key_id, text


def rotate_key(db: Connection, project: str, key_id: str, *, overlap_ns: int, now_ns: int, by: str) -> tuple[Key, str]:
    """Make a key that may the same, and end this one after the overlap; the new key and its text.

    A key that had an end gets one as far away as it was when the old one was made. Raises `NotFound`, `Conflict` for a key that
    works no more.
    """
    old = get_key(db, project, key_id)
    if old.state(now_ns) != "valid":
        raise Conflict(f"key {key_id} is {old.state(now_ns)}", hint="Make another one: tidemill keys create")
    ends = None if old.expires_ns is None else now_ns + max(1, old.expires_ns - old.created_ns)
    row = db.execute(_KEY, {"id": key_id}).one()
    same = {
        name: getattr(row, name) for name in ("project", "role", "rights", "endpoints", "person", "models", "limits", "team")
    }
    new_id, text = _insert(db, {**same, "created_ns": now_ns, "expires_ns": ends})
    until = min(now_ns + overlap_ns, old.expires_ns or _NEVER)
    db.execute(update(keys).where(keys.c.id == key_id).values(expires_ns=until))
    detail: JsonObject = {"new": new_id, "until_ns": str(until)}
    audit.append(db, project, who=by, action="key.rotated", target=f"key/{key_id}", detail=detail, now_ns=now_ns)
    return get_key(db, project, new_id), text


def revoke_key(db: Connection, project: str, key_id: str, *, now_ns: int, by: str = "") -> Key:
    """Let a key in no more. Raises `NotFound`; a key that is revoked already stays so."""
    where = (keys.c.id == key_id, keys.c.project == project)
    changed = db.execute(update(keys).where(*where, keys.c.revoked_ns.is_(None)).values(revoked_ns=now_ns))
    if changed.rowcount:
        audit.append(db, project, who=by, action="key.revoked", target=f"key/{key_id}", detail={}, now_ns=now_ns)
    return get_key(db, project, key_id)


def get_key(db: Connection, project: str, key_id: str) -> Key:
    """A key of the project. Raises `NotFound`."""
    row = db.execute(select(keys).where(keys.c.id == key_id, keys.c.project == project)).first()
    if row is None:
        raise NotFound(f"there is no key {key_id[:80]!r} in project {project!r}", hint="List them: tidemill keys list")
    return _key(row)


def list_keys(db: Connection, project: str) -> tuple[Key, ...]:
    """A project's keys, oldest first, revoked ones too."""
    rows = db.execute(select(keys).where(keys.c.project == project).order_by(keys.c.created_ns, keys.c.id))
    return tuple(_key(row) for row in rows)


def page_of_keys(db: Connection, project: str, *, limit: int = 100, cursor: str | None = None) -> Page[Key]:
    """The same, a page at a time."""
    check_limit(limit)
    query = select(keys).where(keys.c.project == project)
    if cursor is not None:
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match["created"]) > _NEVER:
            raise Invalid(f"cursor {cursor[:80]!r} is not one of this list")
        created = int(match["created"])
        query = query.where(or_(keys.c.created_ns > created, and_(keys.c.created_ns == created, keys.c.id > match["id"])))
    rows = db.execute(query.order_by(keys.c.created_ns, keys.c.id).limit(limit + 1)).all()
    return make_page([_key(row) for row in rows], limit=limit, cursor_of=lambda each: f"{each.created_ns}.{each.id}")


def note_uses(db: Connection, used: Mapping[str, int]) -> None:
    """Keep when keys were last used, as id and nanoseconds."""
    statement = (
        update(keys)
        .where(keys.c.id == bindparam("key"), or_(keys.c.used_ns.is_(None), keys.c.used_ns < bindparam("at")))
        .values(used_ns=bindparam("at"))
    )
    if used:
        db.execute(statement, [{"key": key, "at": at} for key, at in sorted(used.items())])


def authenticate(db: Connection, presented: str | None, *, admin_token_hash: str | None) -> Principal:
    """Who presents this token. Raises `Unauthenticated` without saying which part of it is wrong.

    The caller holds what this gave to `check_in_time`, also when it is remembered.
    """
    if not presented:
        raise Unauthenticated("a token is needed", hint=_HINT)
    match = _FORM.fullmatch(presented)
    if match is None:
        raise unknown_token()
    hashed = hash_token(presented)
    if admin_token_hash is not None and hmac.compare_digest(hashed, admin_token_hash):
        return admin()
    row = db.execute(_KEY, {"id": match["id"]}).first()
    if row is None or not hmac.compare_digest(hashed, row.hash):
        raise unknown_token()
    return _principal(db, row)


def principal_of_key(db: Connection, key_id: str) -> Principal:
    """What a key may, for a session that was begun with it. Raises `Unauthenticated` when it works no more."""
    row = db.execute(_KEY, {"id": key_id}).first()
    if row is None:
        raise unknown_token()
    return _principal(db, row)


def admin() -> Principal:
    """Whoever holds the admin token."""
    return Principal(project=None, is_admin=True, endpoints=None, key_id=_ADMIN, role="admin")


def check_in_time(principal: Principal, *, now_ns: int) -> Principal:
    """Return the principal. Raises `Unauthenticated` when what they came with has ended by now."""
    if principal.expires_ns is not None and now_ns >= principal.expires_ns:
        raise unknown_token()
    return principal


def unknown_token() -> Unauthenticated:
    """What is answered to every token, key and session that does not let in."""
    return Unauthenticated("the token is not known", hint=_HINT)


def _principal(db: Connection, row: Row[Any]) -> Principal:
    if row.revoked_ns is not None:
        raise unknown_token()
    standing = None if row.person is None else standing_of(db, row.person, project=row.project)
    if standing is not None and standing.is_disabled:
        raise unknown_token()
    key = _key(row)
    return Principal(
        project=key.project,
        is_admin=False,
        endpoints=None if key.endpoints is None and key.models is None else frozenset(key.endpoints or ()),
        key_id=key.id,
        role=key.role,
        person=key.person,
        rights=RIGHTS[key.role] if key.rights is None and standing is not None else _narrowed(key),
        standing=standing,
        expires_ns=key.expires_ns,
        models=None if key.models is None else frozenset(key.models),
        limits=key.limits,
        team=key.team,
    )


def _narrowed(key: Key) -> frozenset[Right] | None:
    return None if key.rights is None else key.rights & RIGHTS[key.role]


def _key(row: Row[Any]) -> Key:
    names = cast("dict[str, list[str] | None]", row.endpoints)["names"]
    return Key(
        id=row.id,
        project=row.project,
        role=row.role,
        endpoints=None if names is None else tuple(names),
        created_ns=row.created_ns,
        revoked_ns=row.revoked_ns,
        person=row.person,
        rights=None if row.rights is None else check_rights(row.rights),
        expires_ns=row.expires_ns,
        used_ns=row.used_ns,
        models=None if row.models is None else tuple(row.models),
        limits=row.limits,
        team=row.team,
    )


def _insert(db: Connection, values: Mapping[str, Any]) -> tuple[str, str]:
    key_id = secrets.token_hex(6)
    text = f"tm_{key_id}_{secrets.token_urlsafe(32)}"
    db.execute(insert(keys), {**values, "id": key_id, "hash": hash_token(text)})
    return key_id, text


def _endpoint(given: str) -> str:
    return check_name(given.removeprefix("endpoint/"), what="endpoint")


def _model(given: str) -> str:
    kind, slash, name = given.rpartition("/")
    if slash and kind not in {"model", "route"}:
        raise Invalid(f"{given!r} is neither a model nor a route", where="models", hint="Write NAME, model/NAME or route/NAME.")
    return _named(kind or "model", check_name(name, what="model"))


def _named(kind: str, name: str) -> str:
    return name if kind == "model" else f"{kind}/{name}"
