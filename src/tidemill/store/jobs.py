"""The rows of long work: what was asked for, how far it is, how it ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import Json
from tidemill.core.records import Job, JobStatus, Progress
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import jobs

FINISHED: frozenset[JobStatus] = frozenset({"done", "failed", "cancelled"})


def create_job(db: Connection, job: Job, *, owner: str | None = None) -> tuple[Job, bool]:
    """Keep a new job, to be done by the process `owner`; whether it was created.

    One of the same id, project and kind is returned as it is.

    Raises `Conflict` when the id belongs to a job of another project or kind.
    """
    row = db.execute(select(jobs).where(jobs.c.id == job.id)).first()
    if row is None:
        db.execute(insert(jobs), {**_values(job), "cancel_requested": False, "owner": owner})
        return job, True
    if (row.project, row.kind) != (job.project, job.kind):
        raise Conflict(f"job {job.id} exists already, of another kind")
    return _job(row), False


def count_jobs(db: Connection) -> dict[tuple[str, str], int]:
    """How many jobs of all projects there are, by kind and status."""
    rows = db.execute(select(jobs.c.kind, jobs.c.status, func.count()).group_by(jobs.c.kind, jobs.c.status))
    return {(row[0], row[1]): int(row[2]) for row in rows}


def get_job(db: Connection, project: str | None, job_id: str) -> Job:
    """The job; with None, of whichever project. Raises `NotFound`."""
    row = db.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None or project not in {None, row.project}:
        where = f" in project {project!r}" if project else ""
        raise NotFound(f"there is no job {job_id!r}{where}", hint="List them: tidemill jobs")
    return _job(row)


def list_jobs(
    db: Connection,
    project: str,
    *,
    status: JobStatus | None = None,
    kind: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Job]:
    """Jobs, newest first."""
    query = select(jobs).where(jobs.c.project == project).order_by(jobs.c.id.desc()).limit(check_limit(limit) + 1)
    if status is not None:
        query = query.where(jobs.c.status == status)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if cursor is not None:
        query = query.where(jobs.c.id < cursor)
    return make_page([_job(row) for row in db.execute(query)], limit=limit, cursor_of=lambda each: each.id)


def unfinished_jobs(db: Connection) -> tuple[Job, ...]:
    """Every job of any project that is queued or running, oldest first; for recovery at start."""
    query = select(jobs).where(jobs.c.status.in_(("queued", "running"))).order_by(jobs.c.id)
    return tuple(_job(row) for row in db.execute(query))


def update_job(
    db: Connection,
    job_id: str,
    *,
    now_ns: int,
    status: JobStatus | None = None,
    progress: Progress | None = None,
    result: Json = None,
    error: str | None = None,
    owner: str | None = None,
) -> Job:
    """Note how far a job is, or how it ended. A job that has ended stays as it is.

    With `owner`, raises `Conflict` when the job is another process's by now.
    """
    row = db.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"there is no job {job_id!r}")
    if owner is not None and row.owner != owner:
        raise Conflict(f"job {job_id} is done by another process now")
    if row.status in FINISHED:
        return _job(row)
    values: dict[str, Any] = {"updated_ns": now_ns}
    if status is not None:
        values |= {"status": status, "result": result, "error": error}
    if progress is not None:
        values |= {"done": progress.done, "total": progress.total, "unit": progress.unit}
    db.execute(update(jobs).where(jobs.c.id == job_id).values(values))
    return _job(db.execute(select(jobs).where(jobs.c.id == job_id)).one())


def request_cancel(db: Connection, project: str, job_id: str, *, now_ns: int) -> Job:
    """Ask a job to stop; one that has not begun is cancelled at once. Raises `NotFound`; one that ended stays as it is."""
    job = get_job(db, project, job_id)
    if job.status in FINISHED:
        return job
    db.execute(update(jobs).where(jobs.c.id == job_id).values(cancel_requested=True, updated_ns=now_ns))
    return update_job(db, job_id, now_ns=now_ns, status="cancelled") if job.status == "queued" else job


def cancelled_jobs(db: Connection, owner: str) -> tuple[str, ...]:
    """The ids of a process's unfinished jobs that somebody asked to stop."""
    asked = (jobs.c.owner == owner, jobs.c.status.in_(("queued", "running")), jobs.c.cancel_requested.is_(True))
    return tuple(db.execute(select(jobs.c.id).where(*asked).order_by(jobs.c.id)).scalars())


def is_cancel_requested(db: Connection, job_id: str) -> bool:
    """Whether somebody asked the job to stop."""
    return bool(db.execute(select(jobs.c.cancel_requested).where(jobs.c.id == job_id)).scalar())


def _values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "project": job.project,
        "kind": job.kind,
        "status": job.status,
        "payload": job.payload,
        "done": job.progress.done,
        "total": job.progress.total,
        "unit": job.progress.unit,
        "result": job.result,
        "error": job.error,
        "created_ns": job.created_ns,
        "updated_ns": job.updated_ns,
    }


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        project=row.project,
        kind=row.kind,
        status=row.status,
        payload=row.payload,
        progress=Progress(done=row.done, total=row.total, unit=row.unit),
        result=row.result,
        error=row.error,
        created_ns=row.created_ns,
        updated_ns=row.updated_ns,
    )
