"""Looking after a database: its state, its schema, its backups. These work while a server runs on it, and while none does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, text

from tidemill.core.errors import Conflict, Invalid
from tidemill.core.settings import Settings
from tidemill.store.backup import Backup, blob_files, write_backup
from tidemill.store.database import Database
from tidemill.store.disk import disk_errors, writing
from tidemill.store.drivers import place_of
from tidemill.store.folder import DataFolder
from tidemill.store.migrate import REVISIONS, bring_up_to_date, check_revision, statements
from tidemill.store.postgres import JOBS_SCHEMA
from tidemill.store.processes import list_processes
from tidemill.store.restore import Archive, count_rows, open_backup, restore_blobs, restore_keys, restore_rows, restore_traces
from tidemill.version import __version__

_WAIT: Final = 2.0
_KEYS: Final = "keys"
_PAYLOADS: Final = "payloads"
_LONG_NS: Final = 10 * 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where everything is: the database (a URL, or a file for SQLite), the blobs, the data folder."""

    database: str | Path
    blobs: Path
    data: Path

    @classmethod
    def of(cls, settings: Settings) -> Place:
        """The place that a process with these settings uses."""
        return cls(
            database=settings.database_url() or settings.data / "meta.db",
            blobs=settings.blobs or settings.data / "blobs",
            data=settings.data,
        )

    @property
    def exists(self) -> bool:
        """Whether there may be a database; of a URL that is not known before it is opened."""
        return isinstance(self.database, str) or self.database.exists()


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a database is and how it does. `integrity` is `ok`, or what is wrong; sizes are in bytes."""

    database: str
    kind: str
    revision: str | None
    head: str
    pending: Sequence[str]
    bytes: int
    tables: Mapping[str, int]
    blobs: int
    blob_bytes: int
    integrity: str
    processes: Sequence[Mapping[str, Any]] = field(default=())


def state_of(place: Place) -> State:
    """Look at a database without changing it, whatever its schema's revision. Raises `Conflict` for a newer one."""
    if not place.exists:
        return State(
            database=str(place.database), kind="sqlite", revision=None, head=REVISIONS[-1], pending=REVISIONS, bytes=0,
            tables={}, blobs=0, blob_bytes=0, integrity="ok",
        )  # fmt: skip
    with _opened(place) as database:
        return read_state(database, place)


def read_state(database: Database, place: Place) -> State:
    """The same of an open database."""
    engine = database.engine

    def work(db: Connection) -> State:
        revision = check_revision(db, engine)
        sizes = [each.stat().st_size for _, each in blob_files(place.blobs)]
        others = list_processes(db, silent_ns=_LONG_NS) if revision == REVISIONS[-1] else ()
        return State(
            database=place_of(engine),
            kind=engine.dialect.name,
            revision=revision,
            head=REVISIONS[-1],
            pending=REVISIONS if revision is None else REVISIONS[REVISIONS.index(revision) + 1 :],
            bytes=_size(db, place),
            tables=count_rows(db),
            blobs=len(sizes),
            blob_bytes=sum(sizes),
            integrity=_integrity(db),
            processes=[{"id": each.id, "host": each.host, "pid": each.pid, "started_ns": each.started_ns} for each in others],
        )

    return database.read_sync(work)


def _size(db: Connection, place: Place) -> int:
    if db.dialect.name == "postgresql":
        return int(db.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    files = [Path(f"{place.database}{ending}") for ending in ("", "-wal")]
    return sum(each.stat().st_size for each in files if each.exists())


def _integrity(db: Connection) -> str:
    if db.dialect.name == "postgresql":
        query = "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()"
        failures = int(db.execute(text(query)).scalar_one())
        return "ok" if not failures else f"{failures} pages failed their checksum"
    return str(db.execute(text("PRAGMA quick_check(1)")).scalar_one())


def upgrade_schema(place: Place, *, dry_run: bool = False) -> tuple[Sequence[str], Sequence[str]]:
    """Bring the schema up to date: the revisions that were missing, and with `dry_run` the SQL, with nothing done."""
    with DataFolder.open(place.data, wait=_WAIT), _opened(place) as database:
        revision = database.read_sync(lambda db: check_revision(db, database.engine))
        pending = REVISIONS if revision is None else REVISIONS[REVISIONS.index(revision) + 1 :]
        if dry_run:
            return pending, statements(database.engine, since=revision) if pending else ()
        bring_up_to_date(database.engine)
        return pending, ()


def back_up(place: Place, to: Path, *, with_blobs: bool = True, traces: Path | None = None) -> Backup:
    """Write a backup to a file (mode 0600, for it holds the platform's keys), which is there whole or not at all.

    Raises `Conflict` when the file exists.
    """
    if not place.exists:
        raise Invalid("there is no database yet", where=str(place.database), hint="Nothing to back up: tidemill apply first.")
    check_free(to)
    with _opened(place) as database, writing(to, mode=0o600) as file:
        return stream_backup(database, place, file, with_blobs=with_blobs, traces=traces)


def check_free(to: Path) -> None:
    """Raise `Conflict` when there is something at the path of a backup to be written."""
    if to.exists():
        raise Conflict("there is a file of that name already", where=str(to), hint="Choose another name.")
    if not to.parent.is_dir():
        raise Invalid("there is no such folder", where=str(to.parent), hint="Make it first.")


def stream_backup(
    database: Database, place: Place, into: IO[bytes], *, with_blobs: bool = True, traces: Path | None = None
) -> Backup:
    """Write a backup of an open database, with the span store's tables that are in the folder `traces`.

    Raises `Conflict` for a database without a schema.
    """
    engine = database.engine

    def work(db: Connection) -> Backup:
        revision = check_revision(db, engine)
        if revision is None:
            raise Conflict("the database is empty", where=place_of(engine), hint="There is nothing to back up.")
        return write_backup(
            db, into, blobs=place.blobs, keys=place.data / _KEYS, revision=revision, version=__version__, now_ns=time.time_ns(),
            with_blobs=with_blobs, traces=traces, payloads=place.data / _PAYLOADS if traces else None,
        )  # fmt: skip

    with disk_errors(place.data):
        return database.read_sync(work)


def restore(place: Place, file: Path, *, force: bool = False) -> Backup:
    """Put a backup in the place of what is there, which must be nothing, unless `force`.

    Raises `Invalid` for a damaged backup, `Conflict` when something is there or servers use it; then nothing was changed.
    """
    archive = open_backup(file)
    with archive.file, DataFolder.open(place.data, wait=_WAIT), _opened(place) as database:
        there = database.read_sync(lambda db: _what_is_there(db, database))
        if there and not force:
            raise Conflict(
                f"{there} rows are in the database already; nothing was changed",
                where=place_of(database.engine),
                hint="Restore into an empty place, or replace what is there with --force NAME.",
            )
        restore_blobs(archive, place.blobs)
        _replace_rows(database, place, archive)
        restore_keys(archive, place.data / _KEYS)
        restore_traces(archive, place.data)
    return archive.summary


def name_of(place: Place) -> str:
    """What has to be typed to replace what is there: the database's name, or that of the folder that holds the data folder."""
    if isinstance(place.database, str):
        return place.database.partition("?")[0].rpartition("/")[2]
    return place.data.resolve().parent.name


def _replace_rows(database: Database, place: Place, archive: Archive) -> None:
    """With them goes what the jobs' driver knows: every unfinished job starts again from its last finished step."""
    engine = database.engine
    (place.data / "jobs.db").unlink(missing_ok=True)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    with engine.begin() as db:
        if engine.dialect.name == "postgresql":
            db.execute(text(f"DROP SCHEMA IF EXISTS {JOBS_SCHEMA} CASCADE"))
        restore_rows(db, archive)


def _what_is_there(db: Connection, database: Database) -> int:
    if check_revision(db, database.engine) == REVISIONS[-1]:
        others = list_processes(db, silent_ns=_LONG_NS)
        if others:
            raise Conflict(
                f"process {others[0].pid} on {others[0].host} serves this database",
                where=place_of(database.engine),
                hint="Stop every server first.",
            )
    return sum(count_rows(db).values())


@contextlib.contextmanager
def _opened(place: Place) -> Generator[Database]:
    if isinstance(place.database, Path):
        with disk_errors(place.database):
            os.makedirs(place.data, mode=0o700, exist_ok=True)  # noqa: PTH103  (with the mode for each)
    with contextlib.closing(Database.open(place.database, migrate=False)) as database:
        yield database
