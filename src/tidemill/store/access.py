"""Who may come in: API keys by project, and the admin token. Only hashes are kept.

A secret has 256 random bits, so one round of SHA-256 keeps it: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from sqlalchemy import Connection, bindparam, insert, select, update

from tidemill.core.errors import Denied, Invalid, NotFound, Unauthenticated
from tidemill.core.json import JsonObject
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit
from tidemill.store.tables import keys

Role: TypeAlias = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
_FORM = re.compile(r"tm_(?P<id>[0-9a-z]{1,32})_(?P<secret>[A-Za-z0-9_-]{16,128})")
_ADMIN = "admin"
_HINT = "Send Authorization: Bearer tm_…; the admin token is in the data folder's file `token`."
_KEY = select(keys).where(keys.c.id == bindparam("id"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking. `project` None and `is_admin`: every project; `endpoints` None: every endpoint of the project."""

    project: str | None
    is_admin: bool
    endpoints: frozenset[str] | None
    key_id: str
    role: Role
    person: str | None = None

    @property
    def who(self) -> str:
        """How the audit names them: the person whose key it is, else the key; `admin` for the admin token."""
        if self.is_admin:
            return _ADMIN
        return f"key/{self.key_id}" if self.person is None else f"person/{self.person}"

    def check_endpoint(self, name: str) -> None:
        """Raise `Denied` when the key is not for this endpoint."""
        if self.endpoints is not None and name not in self.endpoints:
            raise Denied(f"key {self.key_id} is not for endpoint/{name}", hint="Ask for a key that is.")


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


def new_admin_token() -> str:
    """A fresh admin token."""
    return f"tm_{_ADMIN}_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def create_key(
    db: Connection,
    project: str,
    *,
    now_ns: int,
    endpoints: Sequence[str] | None = None,
    role: str = "developer",
    person: str | None = None,
    by: str = "",
) -> tuple[str, str]:
    """Make a key for a project; its id, and the text `tm_<id>_<secret>`, which is kept nowhere.

    `person` is whose it is: what they do with it stands in the audit under their name.
    """
    if role not in ROLES:
        raise Invalid(f"{role!r} is not a role", hint=did_you_mean(role, ROLES))
    scope = (
        None
        if endpoints is None
        else sorted({check_name(each.removeprefix("endpoint/"), what="endpoint") for each in endpoints})
    )
    key_id = secrets.token_hex(6)
    text = f"tm_{key_id}_{secrets.token_urlsafe(32)}"
    row: dict[str, str | None] = {
        "id": key_id,
        "project": check_name(project, what="project"),
        "hash": hash_token(text),
        "role": role,
    }
    row["person"] = None if person is None else check_name(person, what="person")
    db.execute(insert(keys), {**row, "endpoints": {"names": scope}, "created_ns": now_ns})
    detail: JsonObject = {"role": role, "person": person, "endpoints": scope}
    audit.append(db, project, who=by, action="key.created", target=f"key/{key_id}", detail=detail, now_ns=now_ns)
    return key_id, text


def revoke_key(db: Connection, project: str, key_id: str, *, now_ns: int, by: str = "") -> Key:
    """Let a key in no more. Raises `NotFound`; a key that is revoked already stays so."""
    where = (keys.c.id == key_id, keys.c.project == project)
    changed = db.execute(update(keys).where(*where, keys.c.revoked_ns.is_(None)).values(revoked_ns=now_ns))
    if changed.rowcount:
        audit.append(db, project, who=by, action="key.revoked", target=f"key/{key_id}", detail={}, now_ns=now_ns)
    for each in list_keys(db, project):
        if each.id == key_id:
            return each
    raise NotFound(f"there is no key {key_id!r} in project {project!r}", hint="List them: tidemill keys")


def list_keys(db: Connection, project: str) -> tuple[Key, ...]:
    """A project's keys, oldest first, revoked ones too."""
    rows = db.execute(select(keys).where(keys.c.project == project).order_by(keys.c.created_ns, keys.c.id))
    return tuple(
        Key(
            id=row.id,
            project=row.project,
            role=row.role,
            endpoints=_names(row.endpoints),
            created_ns=row.created_ns,
            revoked_ns=row.revoked_ns,
            person=row.person,
        )
        for row in rows
    )


def authenticate(db: Connection, presented: str | None, *, admin_token_hash: str | None) -> Principal:
    """Who presents this token. Raises `Unauthenticated` without saying which part of it is wrong."""
    if not presented:
        raise Unauthenticated("a token is needed", hint=_HINT)
    match = _FORM.fullmatch(presented)
    if match is None:
        raise Unauthenticated("the token is not known", hint=_HINT)
    hashed = hash_token(presented)
    if admin_token_hash is not None and hmac.compare_digest(hashed, admin_token_hash):
        return Principal(project=None, is_admin=True, endpoints=None, key_id=_ADMIN, role="admin")
    row = db.execute(_KEY, {"id": match["id"]}).first()
    if row is None or not hmac.compare_digest(hashed, row.hash) or row.revoked_ns is not None:
        raise Unauthenticated("the token is not known", hint=_HINT)
    names = _names(row.endpoints)
    scope = None if names is None else frozenset(names)
    return Principal(project=row.project, is_admin=False, endpoints=scope, key_id=row.id, role=row.role, person=row.person)


def _names(stored: object) -> tuple[str, ...] | None:
    names = cast("dict[str, list[str] | None]", stored)["names"]
    return None if names is None else tuple(names)
