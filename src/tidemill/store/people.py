"""People: who holds which keys and grants, and by that which roles; who wrote what a digest locks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, cast

from sqlalchemy import Connection, and_, or_, select

from tidemill.store.grants import Decision, Role, Standing, meet
from tidemill.store.members import standing_of
from tidemill.store.tables import artifacts, keys, versions
from tidemill.store.upsert import in_batches

PERSON: Final = "person/"
SERVICE: Final = "service/"
KEY: Final = "key/"
ADMIN: Final = "admin"


def is_machine(who: str) -> bool:
    """Whether it is nobody who holds a key, nor the admin token, but something of the project, as in `pipeline/improve`."""
    return "/" in who and not who.startswith((PERSON, SERVICE, KEY))


def roles_of(
    db: Connection, project: str, who: str, *, target: str | None = None, now_ns: int | None = None
) -> frozenset[Role]:
    """The roles that somebody is granted (those that reach `target`), or that of a key, or of the keys of one who is no member.

    None for a machine such as `pipeline/x`. Keys that ended before `now_ns` do not count.
    """
    if who == ADMIN:
        return frozenset({"admin"})
    standing = standing_in(db, project, who)
    if standing is not None:
        return frozenset() if standing.is_disabled or not standing.grants else frozenset({standing.role(target)})
    query = select(keys.c.role).where(keys.c.project == project, keys.c.revoked_ns.is_(None))
    if now_ns is not None:
        query = query.where(or_(keys.c.expires_ns.is_(None), keys.c.expires_ns > now_ns))
    if who.startswith(PERSON):
        query = query.where(keys.c.person == who.removeprefix(PERSON))
    elif who.startswith(KEY):
        query = query.where(keys.c.id == who.removeprefix(KEY))
    else:
        return frozenset()
    return frozenset(cast("list[Role]", list(db.execute(query).scalars())))


def standing_in(db: Connection, project: str, who: str) -> Standing | None:
    """What is granted to a person or service account in a project; None for a key, the admin and whoever is no member."""
    if not who.startswith((PERSON, SERVICE)):
        return None
    return standing_of(db, who.partition("/")[2], project=project)


def decide_deploy(db: Connection, project: str, who: str, *, target: str) -> Decision | None:
    """Whether somebody, or whoever wrote a machine, may change what answers at `target` by their grants; None: they have none.

    Asked again within the transaction that changes it, so that a denial holds whichever way it is reached.
    """
    if is_machine(who):
        who = maker_of(db, project, *who.split("/", 1))
    standing = standing_in(db, project, who)
    return None if standing is None else standing.decide("deploy", target)


def role_at(db: Connection, project: str, who: str, role: str | None, *, target: str) -> str | None:
    """The role that somebody acts by at `target`: that of the key, within what is granted there."""
    standing = standing_in(db, project, who)
    if standing is None or role is None:
        return role
    return meet(cast("Role", role), standing.role(target))


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
