"""How many bytes of requests may be in memory, and how they are shared between projects.

A project may hold as much as is still free, times its weight: dynamic thresholds after Choudhury and Hahne, "Dynamic queue
length thresholds for shared-memory packet switches" (1998). One project alone gets half, two get a third each, and however
many are greedy, there is always room left for one that comes new.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Final

from tidemill.core.errors import RateLimited

_RETRY_SECONDS: Final = 1.0


class Room:
    """A budget of bytes. On one event loop only."""

    def __init__(self, most: int, *, weight: Callable[[str], float] = lambda _: 1.0) -> None:
        self._most = most
        self._weight = weight
        self._held: dict[str, int] = {}
        self._total = 0
        self.refused = 0
        """Requests that found no room, since the start."""

    @property
    def held(self) -> int:
        """Bytes that are taken now."""
        return self._total

    @contextlib.contextmanager
    def share(self, project: str) -> Generator[Share]:
        """A share that grows with a request and is given back at its end."""
        share = Share(self, project)
        try:
            yield share
        finally:
            self._give_back(project, share.size)

    def take(self, project: str, size: int) -> None:
        """Take bytes for a project. Raises `RateLimited` when it has its share, or nothing is left."""
        held, free = self._held.get(project, 0), self._most - self._total
        fair = free * self._weight(project)
        if size > free or (held and held + size > fair):
            self.refused += 1
            raise RateLimited(
                f"the server holds {held:,} bytes of this project's telemetry that is not on disk yet, and has {free:,} free",
                hint="Send it again after a moment; exporters do so by themselves.",
                retry_after=_RETRY_SECONDS,
            )
        self._held[project] = held + size
        self._total += size

    def _give_back(self, project: str, size: int) -> None:
        self._total -= size
        left = self._held.get(project, 0) - size
        if left > 0:
            self._held[project] = left
        else:
            self._held.pop(project, None)


class Share:
    """What one request holds."""

    def __init__(self, room: Room, project: str) -> None:
        self._room = room
        self._project = project
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold more. Raises `RateLimited`; what was held stays so until the share is given back."""
        self._room.take(self._project, size)
        self.size += size
