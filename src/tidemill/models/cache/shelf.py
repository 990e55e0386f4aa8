"""What is kept, in the database: read at once, written soon after, bounded in time and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio.to_thread
from sqlalchemy import Connection

from tidemill.core.chat import ChatResponse
from tidemill.core.clock import Clock
from tidemill.models.cache.behind import Behind
from tidemill.models.cache.known import KnownKeys
from tidemill.models.cache.written import from_bytes, to_bytes
from tidemill.store.database import Database
from tidemill.store.kept_answers import Kept, KeptAnswer, get_answer, purge_answers, put_answers

MOST_BYTES: Final = 256 * 2**20
"""Of one project's kept answers, compressed."""
_LARGEST: Final = 4 * 2**20  # bytes of one answer, compressed
_MOST_PENDING: Final = 1000
_IN_TASK: Final = 16 * 2**10  # bytes that are read on the event loop


class Entry(Kept, frozen=True, kw_only=True):
    """An answer that is to be kept."""

    response: ChatResponse


class Shelf:
    """Belongs to one event loop. `most_bytes` bounds what one project keeps."""

    def __init__(self, database: Database, *, clock: Clock, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._clock = clock
        self._most_bytes = most_bytes
        self._behind: Behind[Entry] = Behind(self._write, what="answers", most=_MOST_PENDING)
        self._known = KnownKeys(database, pending=self._behind.places)
        self._since_purge = 0

    async def get(self, project: str, key: str) -> Entry | None:
        """The answer under a key, written or about to be."""
        now_ns = self._clock.now_ns()
        found = self._behind.get((project, key))
        if found is not None:
            return found if found.expires_ns > now_ns else None
        if not await self._known.may_have(project, key):
            return self._behind.get((project, key))
        kept = await self._database.read(lambda db: get_answer(db, project, key, now_ns=now_ns))
        if kept is None:
            return self._behind.get((project, key))
        if len(kept.body) > _IN_TASK:
            response = await anyio.to_thread.run_sync(from_bytes, kept.body)
        else:
            response = from_bytes(kept.body)
        return Entry(
            project=project, key=key, response=response, cost=kept.cost, created_ns=kept.created_ns,
            expires_ns=kept.expires_ns, context=kept.context, vector=kept.vector, user=kept.user, session=kept.session,
            trace=kept.trace,
        )  # fmt: skip

    def put(self, entry: Entry) -> None:
        """Keep it: it is found at once, and written soon. Too many at once are not kept."""
        self._known.add(entry.project, entry.key)
        self._behind.put({(entry.project, entry.key): entry})

    async def flush(self) -> None:
        """Wait until what was put is written."""
        await self._behind.flush()

    async def purge(self) -> int:
        """Drop what is too old or too much; how many."""
        self._since_purge = 0
        self._known.forget()
        now_ns, most_bytes = self._clock.now_ns(), self._most_bytes
        return await self._database.tally(lambda db: purge_answers(db, now_ns=now_ns, most_bytes=most_bytes))

    async def _write(self, entries: Sequence[Entry]) -> None:
        self._since_purge += await self._database.tally(lambda db: _put(db, entries))
        if self._since_purge > self._most_bytes // 8:
            await self.purge()


def _put(db: Connection, entries: Sequence[Entry]) -> int:
    rows: list[KeptAnswer] = []
    for each in entries:
        body = to_bytes(each.response)
        if len(body) <= _LARGEST:
            known = {name: getattr(each, name) for name in Kept.__struct_fields__}
            rows.append(KeptAnswer(body=body, **known))
    return put_answers(db, rows)
