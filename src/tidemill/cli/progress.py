"""Following a job: rate and time left while it runs, one line left behind."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.cli.figures import about, count, duration
from tidemill.cli.screen import cut, in_terminal, note, width
from tidemill.client.shapes import JobJson

if TYPE_CHECKING:
    from tidemill.client import AsyncClient

_SHORTEST = 0.5


@dataclass(kw_only=True, slots=True)
class ProgressLine:
    """One line on standard error that is written over, in a terminal only."""

    label: str
    started: float
    first_done: int | None = None

    def show(self, job: JobJson, *, now: float) -> None:
        """Draw the job's progress."""
        if in_terminal(sys.stderr):
            sys.stderr.write("\r\x1b[K" + cut(self.text(job, now=now), width() - 1))
            sys.stderr.flush()

    def text(self, job: JobJson, *, now: float) -> str:
        """`evaluating  31 of 62 samples  4.2/s  about 8 s left`."""
        progress = job.get("progress") or {}
        done, total, unit = progress.get("done") or 0, progress.get("total"), progress.get("unit") or ""
        if self.first_done is None:
            self.first_done = done
            self.started = now
        elapsed, since = now - self.started, done - self.first_done
        pieces = [self.label, f"{count(done)} of {count(total)} {unit}".rstrip() if total else f"{count(done)} {unit}".rstrip()]
        if job.get("status") == "queued":
            pieces = [self.label, "waiting to start"]
        elif since > 0 and elapsed > _SHORTEST:
            rate = since / elapsed
            pieces.append(f"{rate:.1f}/s")
            if total and total > done:
                pieces.append(f"{about((total - done) / rate)} left")
        return "  ".join(pieces)

    def clear(self) -> None:
        """Take the line away."""
        if in_terminal(sys.stderr):
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


async def follow_job(client: AsyncClient, job_id: str, *, label: str, quiet: bool = False) -> JobJson:
    """Wait for a job and show how far it is; raises what it failed with.

    Ctrl-C stops the watching. The job goes on in the server; without one it is taken up by the next command.
    """
    import anyio

    from tidemill.client.jobs import ended_well

    began = time.monotonic()
    line = ProgressLine(label=label, started=began)
    last: JobJson | None = None
    try:
        async for job in _following(client, job_id):
            last = job
            if not quiet:
                line.show(job, now=time.monotonic())
    except anyio.get_cancelled_exc_class():
        line.clear()
        goes_on = "is taken up again by the next command" if client.in_process else "goes on"
        note(f"stopped watching; job {job_id} {goes_on}: tidemill jobs follow {job_id}")
        raise
    line.clear()
    last = ended_well(last or await client.job(job_id))
    if not quiet:
        note(left_behind(label, last, seconds=time.monotonic() - began))
    return last


def left_behind(label: str, job: JobJson, *, seconds: float) -> str:
    """The one line that stays: `evaluated: 62 samples in 14.20 s`."""
    progress = job.get("progress") or {}
    done, unit = progress.get("done") or 0, progress.get("unit") or "steps"
    what = f"{count(done)} {unit} in " if done else ""
    return f"{label}: {what}{duration(seconds * 1000)}"


async def _following(client: AsyncClient, job_id: str) -> AsyncIterator[JobJson]:
    async for job in client.follow(job_id):
        yield job
