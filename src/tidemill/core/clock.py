"""Time and ids come from here and are injected, so that every run can be replayed."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

_AT_ONCE: Final = 256
_drawn: Final[dict[int, list[bytes]]] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)


def random_bytes(size: int) -> bytes:
    """Bytes that nobody can guess, drawn for many calls at once: asking the system takes longer than all else of an id."""
    waiting = _drawn.setdefault(size, [])
    try:
        return waiting.pop()
    except IndexError:
        fresh = secrets.token_bytes(size * _AT_ONCE)
        waiting.extend(fresh[start : start + size] for start in range(size, len(fresh), size))
        return fresh[:size]


class Clock(Protocol):
    """What tells the time."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for durations and time-outs."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.perf_counter()


@dataclass(kw_only=True, slots=True)
class FixedClock:
    """A clock that stands still until told otherwise; for tests and replay."""

    ns: int = 1_750_000_000_000_000_000

    def now_ns(self) -> int:
        """The time it was set to."""
        return self.ns

    def monotonic(self) -> float:
        """The time it was set to, in seconds."""
        return self.ns / 1e9

    def advance(self, *, seconds: float) -> None:
        """Move forward."""
        self.ns += round(seconds * 1e9)


@dataclass(kw_only=True, slots=True)
class Ids:
    """Makes UUIDv7 ids (RFC 9562, section 5.7): sorted by time, unique by 74 random bits, never repeating in a process."""

    clock: Clock = field(default_factory=SystemClock)
    random_bytes: Callable[[int], bytes] = random_bytes
    _last: int = 0

    def new(self) -> uuid.UUID:
        """The next id. Ids of one `Ids` are strictly increasing, also when the clock stands still or goes back."""
        return uuid.UUID(int=self._next())

    def _next(self) -> int:
        milliseconds = self.clock.now_ns() // 1_000_000
        tail = int.from_bytes(self.random_bytes(10), "big")
        value = (milliseconds << 80) | (0x7 << 76) | ((tail >> 64 & 0xFFF) << 64) | (0b10 << 62) | (tail & (1 << 62) - 1)
        if value <= self._last:
            value = _following(self._last)
        self._last = value
        return value

    def text(self) -> str:
        """The next id as 36 characters."""
        return str(self.new())

    def trace(self) -> str:
        """A W3C trace id: 32 hexadecimal digits, sorted by time."""
        return f"{self._next():032x}"

    def span(self) -> str:
        """A W3C span id: 16 hexadecimal digits, random, never all zero."""
        value = int.from_bytes(self.random_bytes(8), "big")
        return f"{value or 1:016x}"


def _following(value: int) -> int:
    """The next larger UUIDv7 value: add one to the random bits, carrying over version and variant bits."""
    counter = ((value >> 80) << 74) | ((value >> 64 & 0xFFF) << 62) | (value & (1 << 62) - 1)
    counter += 1
    return (counter >> 74 << 80) | (0x7 << 76) | ((counter >> 62 & 0xFFF) << 64) | (0b10 << 62) | (counter & (1 << 62) - 1)
