"""People: who holds which keys, and by that which roles; who wrote what a digest locks."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from sqlalchemy import Connection, and_, select

from tidemill.store.access import Role
from tidemill.store.tables import artifacts, keys, versions
from tidemill.store.upsert import in_batches

PERSON = "person/"
KEY = "key/"
ADMIN = "admin"


def is_machine(who: str) -> bool:
    """Whether it is neither a person nor a key nor the admin token, but something of the project, as in `pipeline/improve`."""
    return "/" in who and not who.startswith((PERSON, KEY))


def roles_of(db: Connection, project: str, who: str) -> frozenset[Role]:
    """The roles of everybody's or a key's keys that work; none for a machine such as `pipeline/x`."""
    if who == ADMIN:
        return frozenset({"admin"})
    query = select(keys.c.role).where(keys.c.project == project, keys.c.revoked_ns.is_(None))
    if who.startswith(PERSON):
        query = query.where(keys.c.person == who.removeprefix(PERSON))
    elif who.startswith(KEY):
        query = query.where(keys.c.id == who.removeprefix(KEY))
    else:
        return frozenset()
    return frozenset(cast("list[Role]", list(db.execute(query).scalars())))


def maker_of(db: Connection, project: str, kind: str, name: str) -> str:
    """Who first kept what is the latest version of an artifact now; empty when there is none."""
    same = (artifacts.c.project == versions.c.project, artifacts.c.kind == versions.c.kind, artifacts.c.name == versions.c.name)
    query = select(versions.c.created_by).join(artifacts, and_(*same, artifacts.c.latest == versions.c.number))
    found = db.execute(query.where(versions.c.project == project, versions.c.kind == kind, versions.c.name == name))
    return found.scalar() or ""


def authors_of(db: Connection, project: str, digests: Collection[str]) -> frozenset[str]:
    """Who first kept the versions with these digests, as the audit names them."""
    found = set[str]()
    for batch in in_batches(sorted(digests)):
        query = select(versions.c.created_by).where(versions.c.project == project, versions.c.digest.in_(batch))
        found.update(each for each in db.execute(query.distinct()).scalars() if each)
    return frozenset(found)
