"""Server processes that share a database: which are alive, and what those left behind that are not.

Each keeps its row fresh by the database's own clock, so that clocks of machines that differ, or are set back, mean nothing. A
row that has not been kept fresh for the lease is removed; a job or a pipeline's run whose owner has no row is anybody's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from tidemill.core.errors import Conflict
from tidemill.store.pipelines import pipeline_runs
from tidemill.store.tables import jobs, metadata

UNFINISHED = ("queued", "running")

processes = Table(
    "processes",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("blobs", String, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("heartbeat_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One server process; `blobs` identifies the folder in which it keeps blobs."""

    id: str
    host: str
    pid: int
    blobs: str
    started_ns: int = 0
    heartbeat_ns: int = 0


def database_now_ns(db: Connection) -> int:
    """The time by the database's clock, nanoseconds since the epoch."""
    if db.dialect.name != "postgresql":
        return time.time_ns()  # SQLite is in this process
    return int(db.execute(select(func.extract("epoch", func.clock_timestamp()) * 1_000_000)).scalar_one()) * 1000


def register(db: Connection, process: Process) -> None:
    """Join those that share the database. Raises `Conflict` when they keep blobs in another place."""
    other = db.execute(select(processes).where(processes.c.blobs != process.blobs).order_by(processes.c.id).limit(1)).first()
    if other is not None:
        raise Conflict(
            f"process {other.pid} on {other.host} uses this database, and keeps blobs in another folder",
            hint="Give every process that shares a database the same TIDEMILL_BLOBS.",
        )
    now_ns = database_now_ns(db)
    row = {"id": process.id, "host": process.host, "pid": process.pid, "blobs": process.blobs}
    db.execute(insert(processes), {**row, "started_ns": now_ns, "heartbeat_ns": now_ns})


def beat(db: Connection, process: str) -> bool:
    """Keep a row fresh; False when there is none, for others took this process for dead."""
    statement = update(processes).where(processes.c.id == process).values(heartbeat_ns=database_now_ns(db))
    return db.execute(statement).rowcount == 1


def leave(db: Connection, process: str) -> None:
    """Remove a row: what the process owned is anybody's from now on."""
    db.execute(delete(processes).where(processes.c.id == process))


def release(db: Connection, process: str) -> None:
    """Let go of all that the process owns and has not finished."""
    for table in (jobs, pipeline_runs):
        mine = (table.c.owner == process, table.c.status.in_(UNFINISHED))
        db.execute(update(table).where(*mine).values(owner=None))


def bury(db: Connection, *, lease_ns: int) -> int:
    """Remove the rows of those that have not been heard of for the lease; how many."""
    return db.execute(delete(processes).where(processes.c.heartbeat_ns < database_now_ns(db) - lease_ns)).rowcount


def list_processes(db: Connection, *, silent_ns: int) -> tuple[Process, ...]:
    """Those that share the database and were heard of within `silent_ns`, the oldest first."""
    heard = processes.c.heartbeat_ns >= database_now_ns(db) - silent_ns
    rows = db.execute(select(processes).where(heard).order_by(processes.c.started_ns, processes.c.id))
    return tuple(Process(**{name: getattr(row, name) for name in Process.__dataclass_fields__}) for row in rows)


def has_silent(db: Connection, *, lease_ns: int) -> bool:
    """Whether there is anybody to `bury`."""
    silent = select(processes.c.id).where(processes.c.heartbeat_ns < database_now_ns(db) - lease_ns)
    return db.execute(silent.limit(1)).first() is not None


def open_jobs(db: Connection, owner: str) -> tuple[str, ...]:
    """The ids of unfinished jobs that are a process's own or that no living process owns, the oldest first."""
    mine = or_(jobs.c.owner == owner, is_free(jobs.c.owner))
    query = select(jobs.c.id).where(jobs.c.status.in_(UNFINISHED), mine)
    return tuple(db.execute(query.order_by(jobs.c.id)).scalars())


def cancelled_runs(db: Connection, owner: str) -> tuple[str, ...]:
    """The ids of a process's unfinished runs of pipelines that somebody asked to stop."""
    runs = pipeline_runs.c
    query = select(runs.id).where(runs.owner == owner, runs.status.in_(UNFINISHED), runs.cancel_requested.is_(True))
    return tuple(db.execute(query.order_by(runs.id)).scalars())


def orphaned_runs(db: Connection) -> tuple[str, ...]:
    """The ids of unfinished runs of pipelines that no living process owns, the oldest first."""
    query = select(pipeline_runs.c.id).where(pipeline_runs.c.status.in_(UNFINISHED), is_free(pipeline_runs.c.owner))
    return tuple(db.execute(query.order_by(pipeline_runs.c.id)).scalars())


def is_free(owner: ColumnElement[str | None]) -> ColumnElement[bool]:
    """Whether what has this owner belongs to nobody who is alive."""
    return or_(owner.is_(None), and_(owner.is_not(None), owner.not_in(select(processes.c.id))))


def claim_job(db: Connection, job: str, *, owner: str, now_ns: int) -> int | None:
    """Take a job that is free, or one's own, to start it; the how manyeth start it is, None when it is not to be had."""
    mine = or_(jobs.c.owner == owner, is_free(jobs.c.owner))
    statement = update(jobs).where(jobs.c.id == job, jobs.c.status.in_(UNFINISHED), mine)
    if db.execute(statement.values(owner=owner, starts=jobs.c.starts + 1, updated_ns=now_ns)).rowcount != 1:
        return None
    return db.execute(select(jobs.c.starts).where(jobs.c.id == job)).scalar_one()
