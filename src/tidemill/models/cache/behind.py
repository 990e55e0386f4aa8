"""What is about to be written: found at once, written soon, by one task at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from tidemill.core.errors import TidemillError

R = TypeVar("R")
Place: TypeAlias = tuple[str, str]
"""Project and key."""
_MOMENT: Final = 0.05  # seconds that what comes first waits for more, since a write takes long whatever it writes
_log = logging.getLogger(__name__)


class Behind(Generic[R]):
    """Belongs to one event loop. `write` writes rows; what it cannot write is told in the log as so many `what`, and let go.

    More than `most` rows at a time are not taken.
    """

    __slots__ = ("_hurry", "_most", "_pending", "_what", "_write", "_writing")

    def __init__(self, write: Callable[[Sequence[R]], Awaitable[None]], *, what: str, most: int) -> None:
        self._write = write
        self._what = what
        self._most = most
        self._pending: dict[Place, R] = {}
        self._writing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def get(self, place: Place) -> R | None:
        """What is about to be written there."""
        return self._pending.get(place)

    def places(self) -> Iterable[Place]:
        """Where something is about to be written."""
        return self._pending

    def put(self, rows: Mapping[Place, R]) -> None:
        """Take what is to be written, in place of what was to be written there."""
        if len(self._pending) + len(rows) > self._most:
            return
        self._pending.update(rows)
        if self._writing is None:
            self._hurry.clear()
            self._writing = asyncio.get_running_loop().create_task(self._work())

    async def flush(self) -> None:
        """Wait until what was taken is written."""
        self._hurry.set()
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def _work(self) -> None:
        try:
            while self._pending:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), _MOMENT)
                taken = dict(self._pending)
                try:
                    await self._write(list(taken.values()))
                except TidemillError as error:
                    _log.warning("%d %s could not be kept: %s", len(taken), self._what, error)
                finally:
                    for place, row in taken.items():
                        if self._pending.get(place) is row:
                            del self._pending[place]
        finally:
            self._writing = None
