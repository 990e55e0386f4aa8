"""Who may come in: the host is ours, and somebody is known by what the request carries.

A browser carries its session in a cookie (`HttpOnly`, `SameSite=Strict`); what changes anything by cookie must come from the
same origin and show the session's own token. Programs send `Authorization: Bearer …` or `x-api-key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.entry import Entry
from tidemill.api.problems import problem_response
from tidemill.core.errors import Denied, TidemillError
from tidemill.store import denials
from tidemill.store.denials import ATTEMPT, Attempt

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
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
        headers = header_map(scope)
        try:
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
    """The request's headers by lower-case name; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def check_host(headers: Mapping[str, str], *, hosts: frozenset[str]) -> None:
    """Refuse a Host that is not ours, so that a web page cannot reach the server by rebinding a name to loopback."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if host not in _LOOPBACK and host not in hosts:
        raise Denied(f"the host {host!r} is not served here", hint="Use the address that `tidemill up` printed, or --host.")
