"""Signs of life in a stream that has nothing to say, so that nothing on the way takes its silence for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidemill.core.chat import Dialect
from tidemill.serve.exchange import Exchange

_COMMENT: Final = b": ping\n\n"
_EVENTS: Final[Mapping[Dialect, bytes]] = {"anthropic.messages": b'event: ping\ndata: {"type": "ping"}\n\n'}
"""Dialects that have an event for it; to all clients a comment says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """How long a stream may say nothing, in seconds: `before` its answer begins, `within` it.

    The first is longer: as long as nothing was sent, a failure has a status of its own, and headers say who answered.
    """

    before: float = 30.0
    within: float = 15.0


class Pings:
    """From now on, until `end`, a stream is not silent for long. `headers` are those with which a silent one begins."""

    __slots__ = ("_event", "_exchange", "_headers", "_loop", "_opens", "_seen", "_sending", "_silence", "_timer")

    def __init__(self, exchange: Exchange, silence: Silence, *, dialect: Dialect, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._silence = silence
        self._headers = headers
        self._event = _EVENTS.get(dialect, _COMMENT)
        self._loop = asyncio.get_running_loop()
        self._opens = self._loop.time() + silence.before
        self._seen = 0
        self._sending: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(silence.within, self._look)

    def end(self) -> None:
        """The answer is there, or nobody waits for it."""
        self._timer.cancel()

    def _look(self) -> None:
        exchange, is_busy = self._exchange, self._sending is not None and not self._sending.done()
        if not is_busy:
            if not exchange.has_started:
                if self._loop.time() >= self._opens:
                    self._sending = self._loop.create_task(exchange.open_events(_COMMENT, headers=self._headers))
            elif exchange.sent == self._seen:
                self._sending = self._loop.create_task(exchange.ping(self._event if exchange.tail else _COMMENT))
        self._seen = exchange.sent
        self._timer = self._loop.call_later(self._silence.within, self._look)
