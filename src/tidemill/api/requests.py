"""The form of every request to the control plane: its id, and how long its address and headers may be."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.current import enter, leave
from tidemill.api.problems import problem_response
from tidemill.core.errors import HeadersTooLarge, TidemillError, UriTooLong
from tidemill.core.limits import Limits

_SAFE: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Requests:
    """ASGI middleware: gives each request an id, `x-request-id`, and refuses addresses and headers beyond the limits.

    An id that the caller sends is kept when it is 1 to 128 of `A-Z a-z 0-9 . _ : -`; else the request gets one of ours. The
    answer has it, a problem's `instance` is it, and the log names it.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the id, check, hand on."""
        given = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
        request_id = given if _SAFE.fullmatch(given) else secrets.token_hex(16).encode()
        scope["tidemill.request_id"] = request_id.decode()
        token = enter(scope)

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            problem = self._problem(scope)
            if problem is None:
                await self._app(scope, receive, with_id)
            else:
                await problem_response(problem)(scope, receive, with_id)
        finally:
            leave(token)

    def _problem(self, scope: Scope) -> TidemillError | None:
        limits = self._limits
        length = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if length > limits.uri_bytes:
            return UriTooLong(f"the address has {length:,} bytes, more than {limits.uri_bytes:,}", hint="Shorten the query.")
        headers = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        if size > limits.header_bytes or len(headers) > limits.headers:
            return HeadersTooLarge(
                f"{len(headers)} headers of {size:,} bytes are more than {limits.headers} of {limits.header_bytes:,}",
                hint="Send fewer.",
            )
        return None
