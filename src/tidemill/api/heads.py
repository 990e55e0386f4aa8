"""HEAD: what a GET would answer, without its body."""

from __future__ import annotations

from collections.abc import Collection

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """ASGI middleware: asks for a GET, and answers with its status and headers; a stream ends with its first piece.

    `but` names the paths where a GET changes something: what is asked of them is handed on as it is.
    """

    def __init__(self, app: ASGIApp, *, but: Collection[str]) -> None:
        self._app = app
        self._but = but

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on; a HEAD as a GET, which is ended once it has answered."""
        if scope["method"] != "HEAD" or scope["path"] in self._but:
            await self._app(scope, receive, send)
            return

        answered = anyio.Event()

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()
            else:
                answering.cancel()  # not before: what makes the body has begun by now, and cleans up

        async def receive_head() -> Message:
            return {"type": "http.disconnect"} if answered.is_set() else await receive()

        with anyio.CancelScope() as answering:
            await self._app({**scope, "method": "GET"}, receive_head, send_head)
