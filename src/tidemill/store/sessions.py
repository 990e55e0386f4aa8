"""Logging in: links that work once, and the sessions that they begin. Of both only hashes are kept.

A session belongs to a subject: `admin`, `person/NAME`, or `key/ID` for one that was begun with a key and ends with it. It ends
12 hours after its last use, and 7 days after it began.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Invalid, NotFound, Unauthenticated
from tidemill.core.json import JsonObject
from tidemill.store import audit
from tidemill.store.access import Principal, admin, hash_token, principal_of_key, unknown_token
from tidemill.store.members import get_member, standing_of
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.projects import SYSTEM
from tidemill.store.tables import metadata

LINK_NS: Final = 15 * 60 * 10**9
IDLE_NS: Final = 12 * 3600 * 10**9
LONGEST_NS: Final = 7 * 24 * 3600 * 10**9
_MOST: Final = 50  # sessions, and links, of one subject; the oldest makes room
_AGENT: Final = 200
_DEAD_LINK = "the login link is not valid any more"
_PREFIX: Final = "tms_"

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("hash", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),  # to the minute
    Column("expires_ns", BigInteger, nullable=False),
    Index("sessions_by_hash", "hash", unique=True),
    Index("sessions_by_subject", "subject", "id"),
)
login_links = Table(
    "login_links",
    metadata,
    Column("hash", String, primary_key=True, nullable=False),
    Column("subject", String, nullable=False),
    Column("created_by", String, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)
_SESSION = select(sessions).where(sessions.c.hash == bindparam("hash"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A login as it is listed; `agent` is what the browser says it is."""

    id: str
    subject: str
    agent: str
    created_ns: int
    seen_ns: int
    expires_ns: int

    @property
    def ends_ns(self) -> int:
        """When it ends if it is not used again."""
        return min(self.expires_ns, self.seen_ns + IDLE_NS)


def make_link(db: Connection, subject: str, *, now_ns: int, by: str) -> tuple[str, int]:
    """A code that logs in once within 15 minutes, kept nowhere, and when it ends. Raises `NotFound`, `Invalid` for nobody."""
    _check_subject(db, subject)
    code = secrets.token_urlsafe(32)
    db.execute(delete(login_links).where(login_links.c.expires_ns <= now_ns))
    _make_room(db, login_links, "hash", subject)
    row = {"subject": subject, "created_by": by, "created_ns": now_ns, "expires_ns": now_ns + LINK_NS}
    db.execute(insert(login_links), {**row, "hash": hash_token(code)})
    audit.append(db, SYSTEM, who=by, action="login.link_made", target=subject, detail={}, now_ns=now_ns)
    return code, now_ns + LINK_NS


def use_link(db: Connection, code: str, *, agent: str, now_ns: int, ended: str | None = None) -> str:
    """Log in by a link, which works no more from now on; the session's secret. `ended` is a session that this one replaces.

    Raises `Unauthenticated`, in the same words for a code that is unknown, used or too old.
    """
    row = db.execute(select(login_links).where(login_links.c.hash == hash_token(code))).first()
    if row is None or db.execute(delete(login_links).where(login_links.c.hash == row.hash)).rowcount != 1:
        raise Unauthenticated(_DEAD_LINK, hint="Make another one: tidemill login")
    if not row.created_ns <= now_ns < row.expires_ns:
        raise Unauthenticated(_DEAD_LINK, hint="Make another one: tidemill login")
    return begin(db, row.subject, agent=agent, now_ns=now_ns, ended=ended)


def begin(db: Connection, subject: str, *, agent: str, now_ns: int, ended: str | None = None) -> str:
    """Begin a session; its secret. The one whose secret is `ended` ends."""
    _check_subject(db, subject)
    if ended is not None:
        db.execute(delete(sessions).where(sessions.c.hash == hash_token(ended)))
    db.execute(delete(sessions).where(or_(sessions.c.expires_ns <= now_ns, sessions.c.seen_ns <= now_ns - IDLE_NS)))
    _make_room(db, sessions, "id", subject)
    secret = f"{_PREFIX}{secrets.token_urlsafe(32)}"
    session_id = f"s{secrets.token_hex(5)}"
    row = {"id": session_id, "hash": hash_token(secret), "subject": subject, "agent": agent[:_AGENT]}
    db.execute(insert(sessions), {**row, "created_ns": now_ns, "seen_ns": now_ns, "expires_ns": now_ns + LONGEST_NS})
    detail: JsonObject = {"session": session_id, "agent": agent[:_AGENT]}
    audit.append(db, SYSTEM, who=subject, action="login", target=subject, detail=detail, now_ns=now_ns)
    return secret


def is_session(presented: str) -> bool:
    """Whether a text has the form of a session's secret."""
    return presented.startswith(_PREFIX)


def csrf_of(secret: str) -> str:
    """What a page must send with every change to show that it can read this session: only its own server told it."""
    return hash_token(f"tidemill-csrf {secret}")


def authenticate_session(db: Connection, secret: str) -> tuple[Session, Principal]:
    """Whose session it is. Raises `Unauthenticated`; the caller holds both to the time, see `check_session`."""
    row = db.execute(_SESSION, {"hash": hash_token(secret)}).first()
    if row is None:
        raise unknown_token()
    return _session(row), principal_of(db, row.subject, session=row.id)


def check_session(session: Session, *, now_ns: int, seen_ns: int = 0) -> None:
    """Raise `Unauthenticated` when it has ended by now, or began after it: then somebody set the clock back."""
    last = max(session.seen_ns, seen_ns)
    if not session.created_ns <= now_ns < min(session.expires_ns, last + IDLE_NS):
        raise unknown_token()


def principal_of(db: Connection, subject: str, *, session: str) -> Principal:
    """What a subject may in a session. Raises `Unauthenticated` for somebody disabled or gone, and a key that works no more."""
    noun, _, name = subject.partition("/")
    if noun == "admin":
        found = admin()
    elif noun == "key":
        found = principal_of_key(db, name)
    else:
        standing = standing_of(db, name)
        if standing is None or standing.is_disabled:
            raise unknown_token()
        found = Principal(
            project=None, is_admin=False, endpoints=None, key_id="", role="viewer", person=name, standing=standing, is_key=False
        )
    return replace(found, session=session)


def list_sessions(
    db: Connection, *, subject: str | None = None, now_ns: int, limit: int = 100, cursor: str | None = None
) -> Page[Session]:
    """Sessions that have not ended, of one subject or of all, by id."""
    check_limit(limit)
    query = select(sessions).where(sessions.c.expires_ns > now_ns, sessions.c.seen_ns > now_ns - IDLE_NS)
    if subject is not None:
        query = query.where(sessions.c.subject == subject)
    if cursor is not None:
        if not (cursor.startswith("s") and cursor.isalnum() and cursor.isascii()):
            raise Invalid(f"cursor {cursor[:80]!r} is not one of this list")
        query = query.where(sessions.c.id > cursor)
    rows = db.execute(query.order_by(sessions.c.id).limit(limit + 1)).all()
    return make_page([_session(row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def end_session(db: Connection, session_id: str, *, subject: str | None = None, now_ns: int, by: str) -> Session:
    """End one, of this subject when one is given. Raises `NotFound`."""
    query = select(sessions).where(sessions.c.id == session_id)
    row = db.execute(query if subject is None else query.where(sessions.c.subject == subject)).first()
    if row is None:
        raise NotFound(f"there is no session {session_id[:80]!r}", hint="List them: tidemill access sessions")
    db.execute(delete(sessions).where(sessions.c.id == session_id))
    detail: JsonObject = {"session": session_id}
    audit.append(db, SYSTEM, who=by, action="logout", target=row.subject, detail=detail, now_ns=now_ns)
    return _session(row)


def end_all(db: Connection, subject: str) -> None:
    """End every session of a subject, and the links that would begin one."""
    for table in (sessions, login_links):
        db.execute(delete(table).where(table.c.subject == subject))


def note_seen(db: Connection, seen: Mapping[str, int]) -> None:
    """Keep when sessions were last used, as id and nanoseconds."""
    where = (sessions.c.id == bindparam("session"), sessions.c.seen_ns < bindparam("at"))
    if seen:
        rows = [{"session": session, "at": at} for session, at in sorted(seen.items())]
        db.execute(update(sessions).where(*where).values(seen_ns=bindparam("at")), rows)


def _check_subject(db: Connection, subject: str) -> None:
    noun, _, name = subject.partition("/")
    if noun in {"person", "service"} and name:
        member = get_member(db, name)
        if member.is_service:
            raise Invalid(
                f"{name} is a service account, which does not log in", hint="Make it a key: tidemill keys create --person"
            )
        if member.disabled_ns is not None:
            raise Invalid(f"{name} is disabled", hint=f"Let them in again: tidemill people enable {name}")
    elif noun == "key" and name:
        principal_of_key(db, name)
    elif subject != "admin":
        raise Invalid(f"nobody logs in as {subject[:80]!r}", hint="Write person/NAME.")


def _make_room(db: Connection, table: Table, key: str, subject: str) -> None:
    """Let the oldest go where there are too many."""
    query = select(table.c[key]).where(table.c.subject == subject).order_by(table.c.created_ns.desc(), table.c[key])
    old = list(db.execute(query.offset(_MOST - 1)).scalars())
    if old:
        db.execute(delete(table).where(table.c[key].in_(old)))


def _session(row: Row[Any]) -> Session:
    return Session(**{name: getattr(row, name) for name in Session.__dataclass_fields__})
