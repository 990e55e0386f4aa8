"""What does a step, and what it is given besides its arguments."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import anyio

from tidemill.core.clock import Clock
from tidemill.core.errors import Conflict, TidemillError, Unavailable, error_from_code
from tidemill.core.json import Json, JsonObject
from tidemill.jobs.engine import Jobs

T = TypeVar("T")
_LOOK_SECONDS: Final = 1.0


class StepHandler(Protocol):
    """Does one kind of step. It may begin again after a kill with the same `id`, so whatever it makes bears that id."""

    async def __call__(self, args: JsonObject, context: StepContext) -> Json:
        """Do it; the step's output as JSON. What it raises is how the step failed."""
        ...


class NotPassed(TidemillError):
    """A step that did its work and says no: a gate that did not pass, an approval that was refused. It is not tried again."""

    code = "conflict"
    title = "Not passed"


@dataclass(kw_only=True, slots=True)
class StepContext:
    """One attempt of one step. `id` is the same after a kill, and another in the next attempt.

    `who` started the run, and has `role`. `code` is what the pipeline's version holds of a python step; `log` keeps a line,
    from any thread.
    """

    project: str
    pipeline: str
    run: str
    step: str
    attempt: int
    who: str
    role: str
    started_ns: int
    code: Json
    log: Callable[[str], None]
    set_note: Callable[[str], Awaitable[None]]
    is_cancelled: Callable[[], bool]
    jobs: Jobs | None
    clock: Clock

    @property
    def id(self) -> str:
        """What anything that this attempt makes is called, so that it is made once."""
        return stable_id(f"{self.run}/{self.step}/{self.attempt}", self.started_ns)

    @property
    def seconds(self) -> float:
        """How long ago the attempt began, over restarts."""
        return (self.clock.now_ns() - self.started_ns) / 1e9

    async def wait(
        self,
        note: str,
        look: Callable[[], Awaitable[T | None]],
        *,
        seconds: float | None = None,
        every: float = _LOOK_SECONDS,
    ) -> T:
        """Look again and again until `look` gives something. It waits over restarts; `seconds` count from the step's start.

        Raises `Conflict` when the time is over.
        """
        until_ns = None if seconds is None else self.started_ns + round(seconds * 1e9)
        shown = False
        while True:
            found = await look()
            if found is not None:
                if shown:
                    await self.set_note("")
                return found
            if until_ns is not None and self.clock.now_ns() >= until_ns:
                raise Conflict(f"nothing came within {seconds:g} s: {note}", hint="Start the pipeline again when it can come.")
            if not shown:
                self.log(f"waits for {note}")
                await self.set_note(note)
                shown = True
            await anyio.sleep(every)

    async def job(self, job_id: str, *, what: str) -> Json:
        """Wait for a job and give its result; its progress becomes lines. Cancelling the run cancels the job.

        Raises what the job failed with.
        """
        assert self.jobs is not None
        said = -1.0
        try:
            async for job in self.jobs.events(job_id):
                done, total = job.progress.done, job.progress.total
                part = math.floor(10 * done / total) if total else float(done > 0)
                if part > said and done:
                    self.log(f"{what}: {done}{f' of {total}' if total else ''} {job.progress.unit}".rstrip())
                    said = part
                if job.status == "done":
                    return job.result
                if job.status == "cancelled":
                    raise Conflict(f"{what}: its job {job_id} was cancelled", hint="Start the pipeline again.")
                if job.status == "failed":
                    raise error_from_code("unavailable", f"{what}: {job.error or 'its job failed'}")
        except anyio.get_cancelled_exc_class():
            if self.is_cancelled():
                with anyio.CancelScope(shield=True):
                    await self.jobs.cancel(job_id)
                    self.log(f"{what}: its job was cancelled")
            raise
        raise Unavailable(f"{what} was interrupted: the server is stopping", hint="It goes on at the next start.")


def stable_id(key: str, started_ns: int) -> str:
    """A UUIDv7 of a time and a key: the same for the same two, and sorted by time among all others."""
    tail = int.from_bytes(hashlib.sha256(key.encode()).digest()[:10], "big")
    value = (started_ns // 1_000_000 << 80) | (0x7 << 76) | ((tail >> 64 & 0xFFF) << 64) | (0b10 << 62) | (tail & (1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
