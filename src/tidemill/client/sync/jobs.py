# Made by scripts/sync_client.py from src/tidemill/client/jobs.py; change that file and run the script.
"""Long work, as calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.client import shapes
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class JobCalls(Waiting):
    """Jobs, and the description of the server."""

    def jobs(self, *, limit: int = 20) -> Sequence[shapes.JobJson]:
        """Jobs, newest first."""
        return self._wait(lambda: self._client.jobs(limit=limit))

    def job(self, job_id: str) -> shapes.JobJson:
        """A job by its id."""
        return self._wait(lambda: self._client.job(job_id))

    def cancel_job(self, job_id: str) -> shapes.JobJson:
        """Ask a job to stop; what it finished stays."""
        return self._wait(lambda: self._client.cancel_job(job_id))

    def follow(self, job_id: str) -> Iterator[shapes.JobJson]:
        """Yield a job whenever it changes; the last one has ended. A broken stream is taken up again."""
        return self._each(lambda: self._client.follow(job_id))

    def finish(self, job_id: str) -> shapes.JobJson:
        """Wait for a job. Raises what it failed with, and `Conflict` when it was cancelled."""
        return self._wait(lambda: self._client.finish(job_id))

    def openapi(self) -> JsonObject:
        """The description of every route."""
        return self._wait(self._client.openapi)
