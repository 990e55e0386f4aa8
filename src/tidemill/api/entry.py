"""The way in: from a token, a key or a session's cookie to who it is, and what is kept of those who come and are denied.

Last use is kept to the minute: it is noted in memory, and written for everybody at once by a timer and at the end.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import Denied, TidemillError, Unauthenticated
from tidemill.store import access, denials, sessions
from tidemill.store.access import Principal
from tidemill.store.database import Database
from tidemill.store.denials import Attempt, Denial, Denials

COOKIE: Final = "tidemill_session"
CSRF: Final = "x-tidemill-csrf"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EVERY_SECONDS: Final = 60.0
_log = logging.getLogger(__name__)


class Entry:
    """Who comes in. Used from the event loop of one server; nothing here waits for a write but the first denial of a minute."""

    def __init__(self, *, database: Database, clock: Clock, admin_token_hash: str) -> None:
        self._database = database
        self._clock = clock
        self._admin_token_hash = admin_token_hash
        self._latest_ns = 0
        self._latest_at = clock.monotonic()
        self._used: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._denials = Denials()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def now_ns(self) -> int:
        """The time, which neither goes back nor stands still while the server runs.

        When the clock is set back, what has expired stays so, and what is about to expire does so in time.
        """
        now = self._clock.monotonic()
        self._latest_ns = max(self._latest_ns + int(max(0.0, now - self._latest_at) * 1e9), self._clock.now_ns())
        self._latest_at = now
        return self._latest_ns

    async def identify(self, headers: Mapping[str, str], *, method: str) -> Principal:
        """Who sends these headers (names in lower case). Raises `Unauthenticated`, and `Denied` for a change from elsewhere."""
        token = token_of(headers)
        if token is not None:
            return self._came(await self.token(token))
        secret = cookie_of(headers)
        if secret is None:
            raise Unauthenticated(
                "no token was sent",
                hint="Send Authorization: Bearer TOKEN; the token is in the data folder, or make a key: tidemill keys create.",
            )
        principal = self._came(await self.session(secret))
        if method not in _SAFE:
            _check_origin(headers, secret)
        return principal

    async def token(self, presented: str) -> Principal:
        """Whose token or key it is. Raises `Unauthenticated`."""
        now_ns = self.now_ns()
        found = await self._database.remember(
            ("principal", access.hash_token(presented)),
            lambda db: access.authenticate(db, presented, admin_token_hash=self._admin_token_hash),
        )
        access.check_in_time(found, now_ns=now_ns)
        if not found.is_admin:
            self._note(self._used, found.key_id, now_ns)
        return found

    async def session(self, secret: str) -> Principal:
        """Whose session it is. Raises `Unauthenticated`."""
        if not sessions.is_session(secret):
            raise access.unknown_token()
        now_ns = self.now_ns()
        key = ("session", access.hash_token(secret))
        session, found = await self._database.remember(key, lambda db: sessions.authenticate_session(db, secret))
        sessions.check_session(session, now_ns=now_ns, seen_ns=self._seen.get(session.id, 0))
        access.check_in_time(found, now_ns=now_ns)
        self._note(self._seen, session.id, now_ns)
        return found

    async def log_in(self, *, code: str | None, token: str | None, agent: str, before: str | None) -> str:
        """Begin a session by a link's code, or by a token; its secret. The session `before`, if any, ends."""
        now_ns = self.now_ns()
        if code is not None:
            return await self._database.write(lambda db: sessions.use_link(db, code, agent=agent, now_ns=now_ns, ended=before))
        subject = subject_of(await self.token(token or ""))
        return await self._database.write(lambda db: sessions.begin(db, subject, agent=agent, now_ns=now_ns, ended=before))

    async def denied(self, attempt: Attempt, *, route: str, status: int) -> None:
        """Keep a denied attempt. What cannot be written is logged: the answer is a denial all the same."""
        if attempt.is_kept:
            return
        project, who, target, detail = denials.described(attempt, route=route, status=status)
        now_ns = self.now_ns()
        line = self._denials.take(project, who=who, target=target, detail=detail, now_ns=now_ns)
        self._set_timer()
        if line is not None:
            try:
                await self._database.write(lambda db: line.append(db, now_ns=now_ns))
            except TidemillError as error:
                _log.warning("a denied attempt of %s could not be kept: %s", who, error)

    async def flush(self, *, everything: bool = False) -> None:
        """Write what is noted: last uses, and the denials of minutes that are over (of all, with `everything`)."""
        now_ns = self.now_ns()
        used, self._used = self._used, {}
        seen, self._seen = self._seen, {}
        lines = self._denials.due(now_ns=now_ns, everything=everything)
        if used or seen or lines:
            await self._database.write(lambda db: _write(db, used=used, seen=seen, lines=lines, now_ns=now_ns))

    async def stop(self) -> None:
        """Write all of it, and set no timer again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is not None:
            await asyncio.gather(self._flushing, return_exceptions=True)
        try:
            await self.flush(everything=True)
        except TidemillError as error:
            _log.warning("last uses and denied attempts could not be kept: %s", error)

    def _came(self, principal: Principal) -> Principal:
        denials.came(principal)
        return principal

    def _note(self, where: dict[str, int], key: str, now_ns: int) -> None:
        where[key] = now_ns
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY_SECONDS, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.ensure_future(self._flush_quietly())

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except TidemillError as error:
            _log.warning("last uses and denied attempts could not be kept: %s", error)
        if not self._denials.is_empty:
            self._set_timer()


def token_of(headers: Mapping[str, str]) -> str | None:
    """The token or key that a program sends: `Authorization: Bearer …`, else `x-api-key`."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key") or None


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """The secret of a browser's session."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def subject_of(principal: Principal) -> str:
    """Whose session it is that a principal begins."""
    if principal.is_admin:
        return "admin"
    return f"key/{principal.key_id}" if principal.is_key else principal.who


def _check_origin(headers: Mapping[str, str], secret: str) -> None:
    if headers.get("origin", "").partition("://")[2] != headers.get("host"):
        raise Denied("a change by cookie must come from the same origin", hint="Send the token as a header instead.")
    if not hmac.compare_digest(headers.get(CSRF, "").encode("latin-1", "replace"), sessions.csrf_of(secret).encode()):
        raise Denied(f"a change by cookie needs the header {CSRF}", hint="Send the csrf that GET /api/v1/session answers.")


def _write(db: Connection, *, used: Mapping[str, int], seen: Mapping[str, int], lines: list[Denial], now_ns: int) -> None:
    access.note_uses(db, used)
    sessions.note_seen(db, seen)
    for line in lines:
        line.append(db, now_ns=now_ns)
