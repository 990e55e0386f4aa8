"""A process that does one durable job, run by test_kill.py. Arguments: folder, and the step to stand still before (or none)."""

import sys
from pathlib import Path

import anyio

from tidemill.core.clock import Ids, SystemClock
from tidemill.core.records import Progress
from tidemill.jobs import Jobs
from tidemill.store.database import Database

STEPS = 6


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(folder: Path, halt_before: int | None) -> None:
    async def count(payload, context):
        finished = folder / "steps"
        done = finished.read_text().split() if finished.exists() else []
        for step in range(len(done), STEPS):
            if step == halt_before:
                say("halted")
                await anyio.sleep_forever()
            with finished.open("a") as file:
                file.write(f"{step}\n")
            await context.report(Progress(done=step + 1, total=STEPS, unit="step"))
        return {"said": payload["say"], "resumed_at": len(done)}

    database = Database.open(folder / "meta.db")
    jobs = Jobs(database=database, jobs_db=folder / "jobs.db", handlers={"count": count}, clock=SystemClock(), ids=Ids())
    await jobs.start()
    if halt_before is not None:
        await jobs.submit("count", {"say": "tide"}, project="default", job_id="job-1")
        say("submitted")
    job = await jobs.wait("job-1", timeout=60)
    say(job.status, job.progress.done, job.result)
    await jobs.stop()
    database.close()


anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
