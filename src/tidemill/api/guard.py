"""Who may come in: host and origin checks, the login page, and who a token or key belongs to.

A browser carries its login in a cookie (`HttpOnly`, `SameSite=Strict`); what changes anything by cookie must also come from the
same origin. Programs send `Authorization: Bearer …` or `x-api-key`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.problems import problem_response
from tidemill.core.errors import Denied, TidemillError, Unauthenticated
from tidemill.store.access import Principal

COOKIE = "tidemill_token"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Authenticate = Callable[[str], Awaitable[Principal]]


class Guard:
    """ASGI middleware: checks the host, finds the principal, and leaves it in `scope["tidemill.principal"]`."""

    def __init__(self, app: ASGIApp, *, authenticate: Authenticate, hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._authenticate = authenticate
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = header_map(scope)
        try:
            check_host(headers, hosts=self._hosts)
            scope["tidemill.principal"] = await self._authenticate(presented(headers, method=scope["method"]))
        except TidemillError as error:
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def header_map(scope: Scope) -> Mapping[str, str]:
    """The request's headers by lower-case name; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def check_host(headers: Mapping[str, str], *, hosts: frozenset[str]) -> None:
    """Refuse a Host that is not ours, so that a web page cannot reach the server by rebinding a name to loopback."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if host not in _LOOPBACK and host not in hosts:
        raise Denied(f"the host {host!r} is not served here", hint="Use the address that `tidemill up` printed, or --host.")


def presented(headers: Mapping[str, str], *, method: str) -> str:
    """The token or key that a request carries. Raises `Unauthenticated` when there is none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    if headers.get("x-api-key"):
        return headers["x-api-key"]
    token = _cookie(headers)
    if token:
        if method not in _SAFE and urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
            raise Denied("a change by cookie must come from the same origin", hint="Send the token as a header instead.")
        return token
    raise Unauthenticated(
        "no token was sent",
        hint="Send Authorization: Bearer TOKEN; the token is in the data folder, or make a key: tidemill keys create.",
    )


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def login_token(query: bytes) -> str | None:
    """The token of a login link, `/login?token=…`."""
    found = parse_qs(query.decode("latin-1")).get("token")
    return found[0] if found else None
