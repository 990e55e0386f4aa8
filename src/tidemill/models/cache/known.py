"""Which keys may have an answer kept under them: most of what is asked was never asked before, and needs no look for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from tidemill.models.cache.behind import Place
from tidemill.store.database import Database
from tidemill.store.kept_answers import keys_of

_MOST: Final = 100_000
_PROJECTS: Final = 256


class _Keys:
    """Hashes of those of one project. Not `is_whole`: more are kept than are remembered, or they are being read."""

    __slots__ = ("hashes", "is_whole")

    def __init__(self) -> None:
        self.hashes: set[int] = set()
        self.is_whole = False


class KnownKeys:
    """Belongs to one event loop. `pending` are those that are about to be written.

    A key that something is kept under is always known. Where other processes may keep more, every key is worth a look.
    """

    def __init__(self, database: Database, *, pending: Callable[[], Iterable[Place]]) -> None:
        self._database = database
        self._pending = pending
        self._projects: OrderedDict[str, _Keys] = OrderedDict()

    async def may_have(self, project: str, key: str) -> bool:
        """Whether it is worth a look."""
        if self._database.has_others:
            return True
        keys = self._projects.get(project)
        if keys is None:
            keys = await self._read(project)
        return not keys.is_whole or hash(key) in keys.hashes

    def add(self, project: str, key: str) -> None:
        """Something is about to be kept there."""
        keys = self._projects.get(project)
        if keys is not None:
            keys.hashes.add(hash(key))
            keys.is_whole = keys.is_whole and len(keys.hashes) <= _MOST

    def forget(self) -> None:
        """Some answers are kept no more: projects of which much is remembered are read anew when they are asked for."""
        for project in [project for project, keys in self._projects.items() if len(keys.hashes) > _MOST // 10]:
            del self._projects[project]

    async def _read(self, project: str) -> _Keys:
        """Read what is kept, and remember what is about to be and what is put there meanwhile."""
        keys = self._projects[project] = _Keys()
        if len(self._projects) > _PROJECTS:
            self._projects.popitem(last=False)
        keys.hashes.update(hash(key) for whose, key in self._pending() if whose == project)
        try:
            found = await self._database.read(lambda db: keys_of(db, project, limit=_MOST + 1))
        except BaseException:
            self._projects.pop(project, None)
            raise
        keys.hashes.update(map(hash, found))
        keys.is_whole = len(keys.hashes) <= _MOST
        return keys
