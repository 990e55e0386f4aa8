"""Serving a socket that several processes listen on: each takes one connection at a time, and leaves without losing any.

A process that is replaced (`retire`) takes no new connection, answers what comes on the open ones with `connection: close`, and
ends once its clients have moved on: an idle connection is never closed under a request that is on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.listen import Server, configured
from tidemill.workers.counts import Counts

RETIRED_SECONDS: Final = 600
"""For so long at most a process that was replaced goes on with its streams."""
_MOVED_ON: Final = 1.0  # seconds more than an idle connection is kept
_LEFT_TO_OTHERS: Final = 0.001
_READ: Final = 0.1  # seconds in which what was accepted last has sent its request
_CLOSE: Final = (b"connection", b"close")


class Listening:
    """Serves `app` on `listener`, which belongs to the process's parent and stays open when this ends."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        counts: Counts | None = None,
        drain: int | None = None,
        trusts_all: bool = False,
    ) -> None:
        """`drain` is how many seconds requests are given to end, where it is not the server's usual time.

        `trusts_all`: whoever connects is believed when it says for whom.
        """
        self._app = app
        self._listener = listener
        self._counts = counts
        self._config = configured(self._mind)
        if drain is not None:
            self._config.timeout_graceful_shutdown = drain
        if trusts_all:
            self._config.forwarded_allow_ips = "*"
        self._server = Server(self._config)
        self._is_open = False
        self._leaving: asyncio.Task[None] | None = None
        self._greeting: set[asyncio.Task[object]] = set()

    async def run(self, *, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` or `retire`, and until what was taken on is answered."""
        self._server.on_started = lambda: self._open(on_ready)
        await self._server.serve(sockets=[])
        self._close()

    def stop(self) -> None:
        """Take nothing new, finish what runs."""
        self._close()
        asyncio.get_running_loop().call_later(_READ, self._leave)

    def retire(self) -> None:
        """The same, and wait for clients that may send more on the connections that they have open."""
        self._close()
        self._config.timeout_graceful_shutdown = RETIRED_SECONDS
        for each in self._connections():
            if each.cycle is not None and not each.cycle.response_complete:
                each.cycle.keep_alive = False
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._move_on(), name="moving on")

    def _open(self, on_ready: Callable[[], None]) -> None:
        self._is_open = True
        if self._counts is not None:
            self._counts.say(0)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._knock)
        on_ready()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _leave(self) -> None:
        self._server.should_exit = True

    async def _move_on(self) -> None:
        until = asyncio.get_running_loop().time() + self._config.timeout_keep_alive + _MOVED_ON
        while self._connections() and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110  (uvicorn tells nobody)
            await asyncio.sleep(_READ)
        self._leave()

    def _connections(self) -> list[Any]:
        return list(self._server.server_state.connections)

    def _knock(self) -> None:
        """Somebody connects: who has fewest connections goes first, the others a moment later."""
        count = len(self._server.server_state.connections)
        if self._counts is not None:
            self._counts.say(count)
            if not self._counts.is_fewest(count):
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener.fileno())
                loop.call_later(_LEFT_TO_OTHERS, self._take_turn)
                return
        self._accept()

    def _take_turn(self) -> None:
        if self._is_open:
            self._accept()
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._knock)

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another one was quicker, or they have gone
        connected.setblocking(False)
        if connected.family in {socket.AF_INET, socket.AF_INET6}:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(self._greet(connected))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # gone already
            await loop.connect_accepted_socket(self._protocol, connected)
        if self._counts is not None:
            self._counts.say(len(self._server.server_state.connections))

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self._config.http_protocol_class
        return made(
            config=self._config,
            server_state=self._server.server_state,
            app_state=self._server.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )

    async def _mind(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_open:
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        await self._app(scope, receive, closing)
