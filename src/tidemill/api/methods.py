"""Which methods an address answers: any other is told so, with `Allow`, before anything of it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tidemill.api.problems import problem_response
from tidemill.core.errors import MethodNotAllowed


class Methods:
    """ASGI middleware: answers 405. `methods_of` has the methods of a path, none for one that is not known."""

    def __init__(self, app: ASGIApp, *, methods_of: Callable[[str], Sequence[str]]) -> None:
        self._app = app
        self._methods_of = methods_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, or answer with a problem."""
        allowed = self._methods_of(scope["path"])
        if allowed and scope["method"] not in allowed:
            await not_allowed(scope["method"], scope["path"], allowed)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def not_allowed(method: str, path: str, allowed: Sequence[str]) -> Response:
    """The answer to a method that an address does not have."""
    refused = MethodNotAllowed(f"{path} does not answer {method}", hint=f"It answers {' and '.join(allowed)}.")
    response = problem_response(refused)
    response.headers["allow"] = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
    return response
