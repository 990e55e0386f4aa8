"""One client's connection: how long it may keep the server waiting, with a head, with a body's rest, or by not reading.

What `serve/` and `api/` bound are requests; here is what happens before one is there, and after it was answered. Nothing is
done per request but to note a time; each connection looks at its notes every few seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidemill.api.joined import Joined
from tidemill.serve.exchange import Presence

_LATE: Final = b"408 Request Timeout", b"The request's head did not arrive in time."
_LONG: Final = b"431 Request Header Fields Too Large", b"The request's head is too long."
_BROKEN: Final = b"400 Bad Request", b"Invalid HTTP request received."
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long is waited for a client, in seconds, and how much is taken of it.

    `head` is for the whole head of a request, from connecting or from the answer before; the rest of a body that was answered
    before its end must be through by then as well. `idle` is how long a connection may wait for its next request: longer than
    clients and proxies keep theirs, so that it is they who close, and none sends into a closing one. Who does not read at least
    `slowest` bytes a second, of what waits for him, over `unread` seconds is cut off. `looks` is how often that is looked at.
    `head_bytes` is the largest head.
    """

    head: float = 30.0
    idle: float = 75.0
    unread: float = 60.0
    slowest: float = 512.0
    looks: float = 5.0
    head_bytes: int = 256 * 1024


class ClientConnection(HttpToolsProtocol):
    """HTTP/1.1 by llhttp, which refuses what two readers could read differently. `patience` may be another in a subclass."""

    patience: ClassVar[Patience] = Patience()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits_since = 0.0
        self._in_head = True
        self._in_rest = False
        self._head_bytes = 0
        self._unread: tuple[float, int] | None = None
        self._look: asyncio.TimerHandle | None = None
        self._presence = Presence()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to look."""
        super().connection_made(Joined(transport, self.loop))
        self._waits_since = self.loop.time()
        self._look = self.loop.call_later(self.patience.looks, self._looks)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        super().connection_lost(exc)
        self._presence.leave()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that goes on for ever is refused."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.logger.warning("what came was no HTTP request")
            self._refuse(*_BROKEN)
        if self._in_head and not self._in_rest and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.patience.head_bytes:
                self._refuse(*_LONG)

    def on_message_begin(self) -> None:
        """The first byte of a head has come."""
        self._in_head = True
        self._head_bytes = 0
        self._waits_since = self.loop.time()
        super().on_message_begin()
        self.scope["tidemill.presence"] = self._presence  # pyright: ignore[reportGeneralTypeIssues]  (a key of ours)

    def on_headers_complete(self) -> None:
        """A request is there."""
        self._in_head = self._in_rest = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request's body has come, perhaps after its answer."""
        if self.parser.should_upgrade():
            return  # llhttp leaves the body to whatever was offered: see `_decline`
        self._in_rest = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """From now on the next request is waited for."""
        cycle = self.cycle
        if cycle.response_complete:  # else another one is under way already
            self._waits_since = self.loop.time()
            self._in_head, self._in_rest = True, cycle.more_body
        super().on_response_complete()

    def pause_writing(self) -> None:
        """More waits than should; it counts from the next look."""
        self._unread = None
        super().pause_writing()

    def _decline(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 when a client offers another protocol, as Java's own does with each request: read the body."""
        self.cycle.keep_alive = False
        self.parser = httptools.HttpRequestParser(_Body(self))
        kept = (each for each in self.headers if each[0] in _FRAMING)
        self.data_received(b"POST / HTTP/1.1\r\n%b\r\n%b" % (b"".join(b"%b: %b\r\n" % each for each in kept), rest))

    def _looks(self) -> None:
        now, patience = self.loop.time(), self.patience
        self._look = self.loop.call_later(patience.looks, self._looks)
        if self.flow.write_paused or self.transport.is_closing():
            self._look_at_reader(now)
        elif self._in_head and now - self._waits_since > (patience.idle if self._is_idle() else patience.head):
            if self._head_bytes:
                self._refuse(*_LATE)
            else:
                self.transport.close()

    def _is_idle(self) -> bool:
        """Whether a request was answered, and nothing of another has come."""
        return not (self._head_bytes or self._in_rest) and cast("object", self.cycle) is not None

    def _look_at_reader(self, now: float) -> None:
        """Cut off whoever does not read: what waits for him is memory, and holds the provider up."""
        size = self.transport.get_write_buffer_size()
        if self._unread is None:
            self._unread = now, size
            return
        since, was = self._unread
        if now - since < self.patience.unread:
            return
        if was - size < self.patience.slowest * (now - since):
            self.transport.abort()
        else:
            self._unread = now, size

    def _refuse(self, status: bytes, said: bytes) -> None:
        """Say so and close; within an answer that has begun nothing else can be said."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete or not cycle.response_started:
            head = (
                b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            )
            self.transport.write(head % (status, len(said), said))
        self.transport.close()


class _Body:
    """Reads one request's body, and nothing after it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete
