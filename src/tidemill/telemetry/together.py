"""Finished spans, handed on together: one after the other they take half as long as each by itself between other work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from tidemill.core.records import SpanRecord

_MOMENT: Final = 0.005  # seconds


class Together:
    """A sink of spans before another, `sink`, which gets them a few milliseconds later; from other threads at once.

    Made on the event loop whose requests it is for; `hand_on` and `close` it there. After `close` nothing waits any more.
    """

    def __init__(self, sink: Callable[[SpanRecord], None]) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: list[SpanRecord] = []
        self._is_open = True

    def __call__(self, record: SpanRecord) -> None:
        """Take a span."""
        if not self._is_open or threading.get_ident() != self._thread:
            self._sink(record)
            return
        if not self._waiting:
            self._loop.call_later(_MOMENT, self.hand_on)
        self._waiting.append(record)

    def hand_on(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._sink(each)

    def close(self) -> None:
        """Hand on what waits; what comes from now on goes on at once."""
        self._is_open = False
        self.hand_on()
