"""Identical requests at the same time: one asks, the others wait for its answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from tidemill.core.errors import TidemillError

T = TypeVar("T")
_Lead: TypeAlias = Literal["lead"]
_LEAD: Final = "lead"


class Flights(Generic[T]):
    """Who `lead`s a key ends its flight once: by `land`, `fail` or `hand_over`. Belongs to one event loop."""

    __slots__ = ("_going",)

    def __init__(self) -> None:
        self._going: dict[Hashable, deque[asyncio.Future[tuple[T] | _Lead]]] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait for the answer of another."""
        return sum(not each.done() for waiting in self._going.values() for each in waiting)

    def lead(self, key: Hashable) -> bool:
        """Whether nobody asks this yet, so that the caller does."""
        if key in self._going:
            return False
        self._going[key] = deque()
        return True

    async def wait(self, key: Hashable, *, patience: float) -> tuple[T] | Literal["lead", "tired"]:
        """What the leader got; `lead` when it is the caller's turn to ask, `tired` after `patience` seconds.

        Raises the leader's error.
        """
        waiting = asyncio.get_running_loop().create_future()
        self._going[key].append(waiting)
        try:
            await asyncio.wait((waiting,), timeout=patience)
        except BaseException:
            if not waiting.cancel() and waiting.exception() is None and waiting.result() == _LEAD:
                self.hand_over(key)
            raise
        if not waiting.done():
            waiting.cancel()
            return "tired"
        return waiting.result()

    def land(self, key: Hashable, value: T) -> None:
        """Everybody who waits gets the answer."""
        for each in self._going.pop(key, ()):
            if not each.done():
                each.set_result((value,))

    def fail(self, key: Hashable, error: TidemillError) -> None:
        """Everybody who waits gets the error; whoever comes now asks anew."""
        for each in self._going.pop(key, ()):
            if not each.done():
                each.set_exception(_alike(error))

    def hand_over(self, key: Hashable) -> None:
        """The leader has gone: the next who waits leads."""
        waiting = self._going.get(key)
        while waiting:
            each = waiting.popleft()
            if not each.done():
                each.set_result(_LEAD)
                return
        self._going.pop(key, None)


def _alike(error: TidemillError) -> TidemillError:
    """The same error with a traceback of its own."""
    made = error.__class__.__new__(error.__class__, error.message)
    made.__dict__.update(error.__dict__)
    return made
