"""Long work: see it, follow it, cancel it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request, Response

from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.api.events import Event, event_stream, last_event_id
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.records import Job
from tidemill.store import jobs
from tidemill.store.jobs import FINISHED

router = Router(tags=["jobs"])


def job_json(job: Job) -> dict[str, Any]:
    """The shape that is promised."""
    progress = {"done": job.progress.done, "total": job.progress.total, "unit": job.progress.unit}
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "progress": progress,
        "error": job.error,
        "result": job.result,
        "created": iso(job.created_ns),
        "updated": iso(job.updated_ns),
    }


@router.get("/jobs")
async def list_jobs(call: AnyCaller, kind: str | None = None, limit: Limit = 50, cursor: str | None = None) -> Page:
    """The newest first; of one kind, or of all."""
    found = await call.platform.jobs.list(call.project, kind=kind, limit=limit, cursor=cursor)
    return page([job_json(each) for each in found.items], found.next)


@router.get("/jobs/{job_id}")
async def get_job(call: AnyCaller, job_id: str) -> dict[str, Any]:
    """One job."""
    return job_json(await _own_job(call, job_id))


@router.post("/jobs/{job_id}:cancel")
async def cancel_job(call: AnyCaller, job_id: str) -> dict[str, Any]:
    """Ask a job to stop; what it finished stays."""
    await _own_job(call, job_id)
    return job_json(await call.platform.jobs.cancel(job_id, by=call.who))


@router.get("/jobs/{job_id}/events", response_model=None)
async def job_events(call: AnyCaller, job_id: str, request: Request) -> Response:
    """The job's progress as server-sent events, until it ends.

    An event's id names a state. Coming back with `Last-Event-ID`, a caller is told what is new; 204 when the job has ended and
    the caller has seen it, so that a browser comes back no more.
    """
    job, seen = await _own_job(call, job_id), last_event_id(request)
    if job.status in FINISHED and seen == _state(job):
        return Response(status_code=204)

    async def events() -> AsyncGenerator[Event]:
        async for each in call.platform.jobs.events(job_id):
            if _state(each) != seen:
                yield Event(id=_state(each), name="job", data=job_json(each))

    return event_stream(events())


def _state(job: Job) -> str:
    return f"{job.status}-{job.updated_ns}-{job.progress.done}"


async def _own_job(call: AnyCaller, job_id: str) -> Job:
    return await call.platform.database.read(lambda db: jobs.get_job(db, call.project, job_id))
