"""The metadata database: SQLite in the data folder, or PostgreSQL by URL; transactions on worker threads.

SQLite has one writer: a connection behind a lock, whose transactions begin IMMEDIATE so that none fails half-way for a lock.
Readers have connections of their own, see a snapshot each, and never wait for the writer. On PostgreSQL several processes may
share the database: writes are SERIALIZABLE, one that lost a race runs again, and one that keeps losing runs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from tidemill.core.errors import Denied, Problem, TidemillError
from tidemill.store.drivers import explain, open_engine
from tidemill.store.migrate import bring_up_to_date
from tidemill.store.postgres import as_reader, is_lost_race, seen_now, wait_turn
from tidemill.store.workers import Workers

T = TypeVar("T")
_READERS = 4
_TOGETHER = 2  # tries of a transaction beside others; after them it runs alone
_MOST_TRIES = 20
_REMEMBERED = 1024
_SCRUBBED = ("feedback", "steps", "scores", "evaluation_samples", "idempotent_answers", "trace_erasures", "kept_answers")
_SCRUB_TRIES = 3  # each waits as long as any statement for those who still read
_NOTICE_SECONDS = 0.25  # for so long, at most, what another process wrote may go unnoticed by `remember`


class KeptRefusal(Denied):
    """A refusal that leaves a trace: `Database.write` undoes the transaction it ended, then runs `keep` in one of its own."""

    def __init__(
        self, message: str, *, keep: Callable[[Connection], object], hint: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message, hint=hint, problems=problems)
        self.keep = keep


class Database:
    """Runs functions over a connection, each in a transaction: all of it is kept, or nothing.

    `work` runs on a worker thread. It must not call the database again, and on PostgreSQL it may run more than once.
    """

    def __init__(self, engine: Engine, *, has_others: bool = False) -> None:
        self.engine = engine
        self.is_shared = engine.dialect.name != "sqlite"
        """Whether servers of other data folders may write, too."""
        self.has_others = has_others or self.is_shared
        """Whether other processes may write, too: of SQLite, those of one server that works with several."""
        self._watcher: Connection | None = None
        self._writer_lock = threading.Lock()
        self._writer: Connection | None = None
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._written = 0
        self._remembered: OrderedDict[Hashable, tuple[int, object]] = OrderedDict()
        self._reading: dict[Hashable, tuple[int, asyncio.Future[None]]] = {}
        self._seen = ""
        self._noticed = float("-inf")
        self._noticing: asyncio.Future[None] | None = None
        self._reader_slots = threading.BoundedSemaphore(_READERS)
        self._writers = Workers(_READERS if self.is_shared else 1, name="tidemill-write", patient=False)
        self._readers = Workers(_READERS, name="tidemill-read", patient=not self.is_shared)

    @classmethod
    def open(cls, url_or_path: str | Path, *, migrate: bool = True, has_others: bool = False) -> Self:
        """Open, and bring the schema up to date. Raises `Conflict` when a newer Tidemill made the schema."""
        engine = open_engine(url_or_path)
        try:
            if migrate:
                bring_up_to_date(engine)
        except DBAPIError as error:
            engine.dispose()
            raise explain(error, engine) from error
        except TidemillError:
            engine.dispose()
            raise
        return cls(engine, has_others=has_others)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` over one snapshot."""
        return await self._readers.run(partial(self.read_sync, work))

    async def remember(self, key: Hashable, work: Callable[[Connection], T]) -> T:
        """`read`, or what the last reading under this `key` gave when nothing was written since. For reads on every request.

        What this process wrote is seen at once; what others wrote within a quarter of a second. Of many at once one reads, and
        the others wait for it: after a change every request under way wants the same.
        """
        if self.has_others:
            await self._notice_others()
        found = self._remembered.get(key)
        if found is not None and found[0] == self._written:
            return cast("T", found[1])
        before, loop = self._written, asyncio.get_running_loop()
        reading = self._reading.get(key)
        if reading is not None and reading[0] == before and reading[1].get_loop() is loop:
            await asyncio.shield(reading[1])
            found = self._remembered.get(key)
            if found is not None and found[0] >= before:
                return cast("T", found[1])
        own = self._reading[key] = (before, loop.create_future())
        try:
            value = await self.read(work)
            self._remembered[key] = (before, value)
        finally:  # where it failed, each of the others reads by itself
            own[1].set_result(None)
            if self._reading.get(key) is own:
                del self._reading[key]
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return value

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction. When this returns, what it wrote survives a kill of any process.

        Raises `StorageFull` when the disk is full; then nothing was written.
        """
        return await self._writers.run(partial(self.write_sync, work))

    async def tally(self, work: Callable[[Connection], T]) -> T:
        """`write` for what nothing that `remember` keeps is read from: it stays remembered. For counts, written often."""
        return await self._writers.run(partial(self._tally_sync, work))

    def read_sync(self, work: Callable[[Connection], T]) -> T:
        """`read` on this thread."""
        with self._reader_slots, self._explained():
            try:
                return self._read_once(work)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return self._read_once(work)  # the database was started again since this connection was made

    def write_sync(self, work: Callable[[Connection], T]) -> T:
        """`write` on this thread."""
        try:
            with self._explained():
                return self._write_once(work)
        except KeptRefusal as refusal:
            with self._explained():
                self._write_once(refusal.keep)
            raise
        finally:
            self._written += 1

    def _tally_sync(self, work: Callable[[Connection], T]) -> T:
        with self._explained():
            return self._write_once(work)

    def scrub(self) -> None:
        """Let go of what was deleted where the database still has its bytes: the journal of SQLite, dead rows of PostgreSQL."""
        with self._explained():
            if self.is_shared:
                with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    for table in _SCRUBBED:
                        connection.exec_driver_sql(f"VACUUM {table}")
                return
            for _ in range(_SCRUB_TRIES):
                with self._writer_lock, contextlib.closing(self.engine.raw_connection()) as raw:
                    busy = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if not busy:
                    return

    def close(self) -> None:
        """Wait for what is running, then close every connection."""
        self._writers.close()
        self._readers.close()
        with self._writer_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
        self.engine.dispose()

    async def _notice_others(self) -> None:
        """Forget what is remembered when another process wrote; asked at most every quarter of a second, by one for all."""
        if self._noticing is None:
            if time.monotonic() - self._noticed < _NOTICE_SECONDS:
                return
            self._noticing = asyncio.ensure_future(self._notice())
            self._noticing.add_done_callback(self._have_noticed)
        await asyncio.shield(self._noticing)

    async def _notice(self) -> None:
        began = time.monotonic()
        seen = await (self.read(seen_now) if self.is_shared else self._readers.run(self._version_of_file))
        if seen != self._seen:
            self._seen = seen
            self._written += 1
        self._noticed = began

    def _version_of_file(self) -> str:
        """What SQLite counts up with every transaction of another connection, in this process or elsewhere."""
        with self._explained():
            if self._watcher is None:
                self._watcher = self.engine.connect()
            driver: Any = self._watcher.connection.dbapi_connection  # without a transaction, which would keep it from moving
            return str(driver.execute("PRAGMA data_version").fetchone()[0])

    def _have_noticed(self, noticing: asyncio.Future[None]) -> None:
        self._noticing = None
        if not noticing.cancelled():
            noticing.exception()  # whoever waits is told; nobody may be left who does

    def _read_once(self, work: Callable[[Connection], T]) -> T:
        with self._reader() as connection:
            try:
                return work(connection)
            finally:
                connection.rollback()

    @contextlib.contextmanager
    def _reader(self) -> Generator[Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self.engine.connect()
            connection = as_reader(connection) if self.is_shared else connection.execution_options(tidemill_reads=True)
        try:
            yield connection
        except DBAPIError:
            connection.close()
            raise
        except BaseException:
            self._idle.put(connection)
            raise
        self._idle.put(connection)

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        return self._write_sqlite(work) if not self.is_shared else self._write_again(work)

    def _write_sqlite(self, work: Callable[[Connection], T]) -> T:
        with self._writer_lock:
            if self._writer is None:
                self._writer = self.engine.connect()
            try:
                with self._writer.begin():
                    return work(self._writer)
            except DBAPIError:
                self._writer.close()
                self._writer = None
                raise

    def _write_again(self, work: Callable[[Connection], T]) -> T:
        tries = 0
        while True:
            tries += 1
            try:
                with self.engine.begin() as connection:
                    wait_turn(connection, alone=tries > _TOGETHER)
                    return work(connection)
            except DBAPIError as error:
                # Even alone one can lose to the one before: PostgreSQL lets go of its locks a moment before it has quite ended.
                if tries == _MOST_TRIES or not is_lost_race(error, alone=tries > _TOGETHER):
                    raise

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explain(error, self.engine) from error
