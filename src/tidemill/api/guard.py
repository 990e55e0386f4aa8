"""Who may come in: the host is ours, and somebody is known by what the request carries.

A browser carries its session in a cookie (`HttpOnly`, `SameSite=Strict`); what changes anything by cookie must come from the
same origin and show the session's own token. Programs send `Authorization: Bearer …` or `x-api-key`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.entry import Entry
from tidemill.api.problems import problem_response
from tidemill.core.errors import Denied, Invalid, TidemillError
from tidemill.store import denials
from tidemill.store.denials import ATTEMPT, Attempt

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_LONGEST_HOST: Final = 300
_ONCE: Final = frozenset({"host", "origin", "authorization", "x-api-key", "x-tidemill-csrf", "x-tidemill-project"})
_DENIED: Final = frozenset({401, 403})


class Guard:
    """ASGI middleware: checks the host, finds the principal, and leaves it in `scope["tidemill.principal"]`."""

    def __init__(self, app: ASGIApp, *, entry: Entry, hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._entry = entry
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = header_map(scope)
            check_host(headers, hosts=self._hosts)
            scope["tidemill.principal"] = await self._entry.identify(headers, method=scope["method"])
        except TidemillError as error:
            denials.refused(error)
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Watch:
    """ASGI middleware: keeps every attempt that was denied, before it is answered."""

    def __init__(self, app: ASGIApp, *, entry: Entry) -> None:
        self._app = app
        self._entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on; look at the answer's status."""
        attempt = Attempt()
        token = ATTEMPT.set(attempt)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and (message["status"] in _DENIED or attempt.is_hidden):
                await self._entry.denied(attempt, route=f"{scope['method']} {scope['path']}", status=message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            ATTEMPT.reset(token)


def header_map(scope: Scope) -> Mapping[str, str]:
    """The request's headers by lower-case name; cookies that came in several headers as one.

    Raises `Invalid` when what says who is calling, or whose site it is, came twice: proxies and servers differ on which holds.
    """
    found: dict[str, str] = {}
    for name_bytes, value_bytes in scope["headers"]:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        if name in found and name in _ONCE:
            raise Invalid(f"the header {name} came twice", where=f"header.{name}", hint="Send it once.")
        found[name] = f"{found[name]}; {value}" if name == "cookie" and name in found else value
    return found


@functools.lru_cache(maxsize=256)
def _host_of(given: str) -> str:
    match = _HOST.fullmatch(given.strip().lower())
    return match["name"].strip("[]") if match else ""


def check_host(headers: Mapping[str, str], *, hosts: frozenset[str]) -> None:
    """Refuse a Host that is not ours, so that a web page cannot reach the server by rebinding a name to loopback."""
    given = headers.get("host", "")
    host = _host_of(given) if len(given) <= _LONGEST_HOST else ""
    if host not in _LOOPBACK and host not in hosts:
        raise Denied(
            f"the host {given[:200]!r} is not served here", hint="Use the address that `tidemill up` printed, or --host."
        )
