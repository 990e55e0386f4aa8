"""Cursors as callers see them: opaque, and good for the list that they came from only.

A store's cursor is a key of the last row shown, so rows that are added in between move nothing. At this edge it is sealed with
the list that it belongs to: the address and every part of the query but `limit`. One of another list, or one that was cut,
is answered with `Invalid` and not with wrong rows. The seal is a check against mistakes, not a secret: a row is only ever
read in the caller's own project.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.current import current_scope
from tidemill.api.problems import problem_response
from tidemill.core.errors import Invalid

_NOT_OF_THE_LIST: Final = frozenset({"cursor", "limit"})
_CHECK: Final = 6  # bytes: one wrong cursor in 2^48 would pass


def seal(inner: str | None) -> str | None:
    """A store's cursor as the caller of the current request may give it back."""
    scope = current_scope()
    if inner is None or not scope:
        return inner
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    raw = inner.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(_check(scope["path"], query, raw) + raw).rstrip(b"=").decode()


def unseal(cursor: str, *, path: str, query: list[tuple[str, str]]) -> str:
    """The store's cursor. Raises `Invalid` when it is not one of this list."""
    try:
        whole = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        raw = whole[_CHECK:]
        if whole[:_CHECK] == _check(path, query, raw) and raw:
            return raw.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeError):
        pass
    raise Invalid(
        f"{cursor[:80]!r} is not a cursor of this list",
        where="query.cursor",
        hint="Give back what `next` said, with the same filters; without a cursor the list begins anew.",
    )


class Cursors:
    """ASGI middleware: opens the cursor of a request before the route sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on with the store's cursor in the query, or answer with a problem."""
        if b"cursor=" not in scope["query_string"] or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "cursor"]
        try:
            if len(given) > 1:
                raise Invalid("a list takes one cursor", where="query.cursor", hint="Give back what `next` said.")
            opened = [
                (name, unseal(value, path=scope["path"], query=query) if name == "cursor" else value) for name, value in query
            ]
        except Invalid as error:
            await problem_response(error)(scope, receive, send)
            return
        encoded = urlencode(opened, errors="surrogatepass").encode()
        await self._app({**scope, "query_string": encoded}, receive, send)


def _check(path: str, query: list[tuple[str, str]], raw: bytes) -> bytes:
    filters = urlencode(sorted(each for each in query if each[0] not in _NOT_OF_THE_LIST), errors="surrogatepass")
    listed = f"{path}?{filters}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(len(listed).to_bytes(4, "big") + listed + raw).digest()[:_CHECK]
