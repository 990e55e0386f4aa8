"""The query of a request: a parameter that the route does not know is a mistake, and is told, not passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.problems import problem_response
from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean

Parameters = Callable[[str, str], Mapping[str, bool] | None]
"""The names of a route's parameters by method and path, and whether each may come more than once; None without a route."""


class Queries:
    """ASGI middleware: refuses parameters that are not known, that come twice, and bytes that are no text."""

    def __init__(self, app: ASGIApp, *, parameters: Parameters) -> None:
        self._app = app
        self._parameters = parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, or answer with a problem."""
        query: bytes = scope["query_string"]
        known = self._parameters(scope["method"], scope["path"]) if query else None
        if known is not None:
            try:
                _check(query, known)
            except Invalid as error:
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check(query: bytes, known: Mapping[str, bool]) -> None:
    try:
        given = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeError as error:
        raise Invalid("the query is not UTF-8", where="query", hint="Encode it with percent signs, in UTF-8.") from error
    seen: set[str] = set()
    for name, _ in given:
        if name not in known:
            hint = did_you_mean(name, known) if known else "This route takes no parameters."
            raise Invalid(f"there is no parameter {name[:80]!r} here", where=f"query.{name[:80]}", hint=hint)
        if name in seen and not known[name]:
            raise Invalid(f"the parameter {name!r} came twice", where=f"query.{name}", hint="Send it once.")
        seen.add(name)
