"""Who works next, when many have much to do on one event loop: one at a time, in short turns, by time used so far.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each project's clock runs by the time that it used, divided by its weight,
and the one that is furthest behind is next. Between two turns the loop does whatever else waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from time import perf_counter


class Turns:
    """Turns of work. On one event loop only."""

    def __init__(self, *, weight: Callable[[str], float] = lambda _: 1.0) -> None:
        self._weight = weight
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._used: dict[str, float] = {}
        self._now = 0.0
        self._busy = False

    @contextlib.asynccontextmanager
    async def turn(self, project: str) -> AsyncGenerator[None]:
        """Wait for a turn; it ends with the block, which should not wait for anything in it."""
        await self._wait(project)
        began = perf_counter()
        try:
            yield
        finally:
            self._used[project] += (perf_counter() - began) / self._weight(project)
            # Not before the loop came round: whatever else waits goes first, and whoever had the turn may ask again.
            asyncio.get_running_loop().call_soon(self._hand_on)

    async def _wait(self, project: str) -> None:
        self._used[project] = max(self._used.get(project, 0.0), self._now)
        if not self._busy:
            self._busy = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._hand_on()  # the turn came at the same moment
            raise

    def _hand_on(self) -> None:
        """Give the turn to the project that is furthest behind."""
        while self._waiting:
            project = min(self._waiting, key=lambda each: self._used[each])
            queue = self._waiting[project]
            following = queue.popleft()
            if not queue:
                del self._waiting[project]
            if not following.done():
                self._now = self._used[project]
                following.set_result(None)
                return
        self._busy = False
        self._used = {project: used for project, used in self._used.items() if used > self._now}
