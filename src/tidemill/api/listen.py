"""Listening: bind, serve until told to stop, drain, leave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
from collections.abc import Callable, Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from tidemill.api.connection import ClientConnection
from tidemill.core.errors import Conflict, Invalid

DRAIN_SECONDS = 30
_YOUNG: Final = 20_000


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `Conflict` when the port is in use, `Invalid` when the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it each small answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use", hint="Choose another with --port; 0 picks a free one."
            ) from error
        raise Invalid(f"cannot listen on {host}:{port}: {error.strerror}", hint="Check --host and --port.") from error
    listener.setblocking(False)
    return listener


def configured(app: ASGIApp) -> uvicorn.Config:
    """How every connection is spoken to."""
    return uvicorn.Config(
        app,
        http=ClientConnection,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=int(ClientConnection.patience.idle),
    )


class Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would end the process by the signal after draining, and we exit 0."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and say so."""
        await super().startup(sockets)
        if self.started:
            self.on_started()
            keep_what_is_there()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take none."""
        yield


async def listen(
    app: ASGIApp, listener: socket.socket, *, on_ready: Callable[[], None], on_stop: Callable[[], None] = lambda: None
) -> None:
    """Serve `app` until SIGTERM or SIGINT; then call `on_stop`, take no new connection, finish what runs, and return."""
    server = Server(configured(app))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        on_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    server.on_started = on_ready
    await server.serve(sockets=[listener])


def keep_what_is_there() -> None:
    """Look for garbage only among what requests make, and not so often. For a process that is ready to serve.

    Over a hundred thousand objects (code, tables, schemas) are there for good; Python's collector walks them again and again,
    and the young ones whenever 700 more are alive, which a dozen requests under way make. Both together took a tenth of the CPU
    of a request with 32 callers. Hardly anything of a request is in a cycle, so what waits longer for the collector is little.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
