"""Long work, as calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

import anyio
import orjson

from tidemill.client import shapes
from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.errors import TidemillError, Unavailable, error_from_code
from tidemill.core.json import JsonObject

_ENDED = frozenset({"done", "failed", "cancelled"})
_POLL = 0.5


class JobCalls(Calls):
    """Jobs, and the description of the server."""

    async def jobs(self, *, limit: int = 20) -> Sequence[shapes.JobJson]:
        """Jobs, newest first."""
        return await self._list("/jobs", shapes.JobJson, limit=limit)

    async def job(self, job_id: str) -> shapes.JobJson:
        """A job by its id."""
        return cast("shapes.JobJson", await self._line.send("GET", f"/jobs/{segment(job_id)}"))

    async def cancel_job(self, job_id: str) -> shapes.JobJson:
        """Ask a job to stop; what it finished stays."""
        return cast("shapes.JobJson", await self._line.send("POST", f"/jobs/{segment(job_id)}:cancel"))

    async def follow(self, job_id: str) -> AsyncIterator[shapes.JobJson]:
        """Yield a job whenever it changes; the last one has ended. A broken stream is taken up again."""
        while True:
            try:
                async for event in self._line.events("GET", f"/jobs/{segment(job_id)}/events"):
                    job = cast("shapes.JobJson", orjson.loads(event.data))
                    yield job
                    if job.get("status") in _ENDED:
                        return
            except Unavailable:
                pass  # the next request says whether the server is gone
            job = await self.job(job_id)
            if job.get("status") in _ENDED:
                yield job
                return
            await anyio.sleep(_POLL)

    async def finish(self, job_id: str) -> shapes.JobJson:
        """Wait for a job. Raises what it failed with, and `Conflict` when it was cancelled."""
        last: shapes.JobJson | None = None
        async for job in self.follow(job_id):
            last = job
        return ended_well(last or await self.job(job_id))

    async def openapi(self) -> JsonObject:
        """The description of every route."""
        return cast("JsonObject", await self._line.send_absolute("GET", "/openapi.json"))


def ended_well(job: shapes.JobJson) -> shapes.JobJson:
    """Return a job that is done; raise what a failed one failed with, and `Conflict` for a cancelled one."""
    status = job.get("status")
    if status == "done":
        return job
    if status == "cancelled":
        raise error_from_code(
            "conflict", f"job {job.get('id')} was cancelled", hint="What it finished is kept and is not done again."
        )
    reason = job.get("error") or "it did not say why"
    raise _job_error(job, reason)


def _job_error(job: shapes.JobJson, reason: str) -> TidemillError:
    hint = f"See: tidemill jobs show {job.get('id')}"
    return error_from_code(job.get("code") or "unavailable", f"{job.get('kind') or 'the job'} failed: {reason}", hint=hint)
