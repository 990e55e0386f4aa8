"""Which local models are live: one child a model file, so many and no more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from tidemill.core.errors import Unavailable
from tidemill.models.child import EngineChild


@dataclass(kw_only=True, slots=True)
class _Resident:
    child: EngineChild
    users: int = 0


class Residents:
    """At most `most` children at a time. Another one waits for an idle one, which ends; the least recently used goes first.

    Belongs to one event loop. `wait` is how long, in seconds, a call waits for a place while all are answering.
    """

    def __init__(self, make: Callable[[str], EngineChild], *, most: int, wait: float) -> None:
        self._make = make
        self._most = most
        self._wait = wait
        self._residents: OrderedDict[str, _Resident] = OrderedDict()
        self._freed = anyio.Condition()

    @property
    def pids(self) -> dict[str, int]:
        """The process of each model file whose child lives, the most recently used last."""
        return {path: pid for path, each in self._residents.items() if (pid := each.child.pid) is not None}

    @asynccontextmanager
    async def using(self, path: str) -> AsyncGenerator[EngineChild]:
        """The child of a model file; it is not ended while this is open. Raises `Unavailable` when no place comes free."""
        resident = await self._take(path)
        try:
            yield resident.child
        finally:
            resident.users -= 1
            with anyio.CancelScope(shield=True):
                async with self._freed:
                    self._freed.notify_all()

    async def close(self) -> None:
        """End every child."""
        residents = list(self._residents.values())
        self._residents.clear()
        for each in residents:
            await each.child.close()

    async def _take(self, path: str) -> _Resident:
        with anyio.move_on_after(self._wait):
            async with self._freed:
                while path not in self._residents and len(self._residents) >= self._most:
                    if not await self._end_one():
                        await self._freed.wait()
                resident = self._residents.setdefault(path, _Resident(child=self._make(path)))
                self._residents.move_to_end(path)
                resident.users += 1
                return resident
        raise Unavailable(
            f"{self._most} local models are answering, and no more may be live at a time",
            hint="Try again when one of them is done.",
        )

    async def _end_one(self) -> bool:
        """End the idle child that was used longest ago; False when none is idle."""
        for path, each in self._residents.items():
            if each.users == 0:
                del self._residents[path]
                with anyio.CancelScope(shield=True):
                    await each.child.close()
                return True
        return False
