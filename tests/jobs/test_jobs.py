"""Submitting, following, cancelling and resuming jobs, against real SQLite and the real driver."""

import sys
from contextlib import asynccontextmanager

import anyio
import pytest

from tidemill.core.clock import Ids, SystemClock
from tidemill.core.errors import Conflict, Invalid, NotFound, Unavailable
from tidemill.core.records import Progress
from tidemill.jobs import Jobs
from tidemill.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Handlers:
    """What the test's jobs do; `gate` holds those that wait."""

    def __init__(self):
        self.gate = anyio.Event()
        self.started = anyio.Event()
        self.finished_steps = []
        self.most_at_once = 0
        self.at_once = 0

    async def add(self, payload, context):
        await context.report(Progress(done=1, total=1, unit="sum"))
        return payload["a"] + payload["b"]

    async def wait(self, payload, context):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.started.set()
        await context.report(Progress(done=1, total=3, unit="step"))
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        self.finished_steps.append(context.job_id)
        return "waited"

    async def refuse(self, payload, context):
        raise Invalid("the dataset has 0 rows", hint="Add one.")

    async def crash(self, payload, context):
        return {}["nothing"]

    def table(self):
        return {"add": self.add, "wait": self.wait, "refuse": self.refuse, "crash": self.crash}


@asynccontextmanager
async def running(folder, handlers, **options):
    database = Database.open(folder / "meta.db")
    jobs = Jobs(
        database=database, jobs_db=folder / "jobs.db", handlers=handlers.table(), clock=SystemClock(), ids=Ids(), **options
    )
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        database.close()


async def test_a_job_is_done_and_its_result_stays(tmp_path):
    async with running(tmp_path, Handlers()) as jobs:
        submitted = await jobs.submit("add", {"a": 2, "b": 3}, project="tide")
        assert submitted.status == "queued"
        job = await jobs.wait(submitted.id, timeout=30)
        assert (job.status, job.result, job.error) == ("done", 5, None)
        assert job.progress == Progress(done=1, total=1, unit="sum")
        assert [each.id for each in (await jobs.list("tide")).items] == [job.id]
        assert (await jobs.list("other")).items == ()


async def test_the_same_id_is_the_same_job(tmp_path):
    async with running(tmp_path, Handlers()) as jobs:
        first = await jobs.submit("add", {"a": 2, "b": 3}, project="tide", job_id="sum")
        await jobs.wait("sum", timeout=30)
        again = await jobs.submit("add", {"a": 2, "b": 3}, project="tide", job_id="sum")
        assert (again.id, again.created_ns, again.status) == (first.id, first.created_ns, "done")
        with pytest.raises(Conflict, match="'sum' exists"):
            await jobs.submit("add", {"a": 2, "b": 4}, project="tide", job_id="sum")
        assert len((await jobs.list("tide")).items) == 1


async def test_failures_are_the_jobs_outcome(tmp_path):
    async with running(tmp_path, Handlers()) as jobs:
        refused = await jobs.submit("refuse", {}, project="tide")
        crashed = await jobs.submit("crash", {}, project="tide")
        job = await jobs.wait(refused.id, timeout=30)
        assert (job.status, job.error) == ("failed", "the dataset has 0 rows  Add one.")
        job = await jobs.wait(crashed.id, timeout=30)
        assert (job.status, job.error) == ("failed", "KeyError: 'nothing'")


async def test_unknown_kinds_and_ids_are_refused(tmp_path):
    async with running(tmp_path, Handlers()) as jobs:
        with pytest.raises(Invalid, match="'ad' is not a kind of job") as error:
            await jobs.submit("ad", {}, project="tide")
        assert error.value.hint == "Did you mean add?"
        with pytest.raises(NotFound):
            await jobs.get("nowhere")
        with pytest.raises(NotFound):
            await jobs.wait("nowhere", timeout=5)


async def test_cancel_stops_a_running_job_and_one_that_waits(tmp_path):
    handlers = Handlers()
    async with running(tmp_path, handlers, concurrency=1) as jobs:
        first = await jobs.submit("wait", {}, project="tide")
        second = await jobs.submit("wait", {}, project="tide")
        await handlers.started.wait()
        assert (await jobs.cancel(second.id)).status == "cancelled"
        assert (await jobs.cancel(first.id)).status == "cancelled"
        assert (await jobs.cancel(first.id)).status == "cancelled"
        assert (await jobs.get(first.id)).progress.done == 1
        third = await jobs.submit("add", {"a": 1, "b": 1}, project="tide")
        assert (await jobs.wait(third.id, timeout=30)).result == 2
    assert handlers.finished_steps == []


async def test_events_show_each_change_and_end_with_the_job(tmp_path):
    handlers = Handlers()
    seen = []
    async with running(tmp_path, handlers) as jobs:
        job = await jobs.submit("wait", {}, project="tide")
        async for each in jobs.events(job.id):
            seen.append((each.status, each.progress.done))
            if each.progress.done == 1:
                handlers.gate.set()
    assert seen[-1] == ("done", 1)
    assert ("running", 1) in seen
    assert seen == sorted(set(seen), key=seen.index)  # no change is shown twice


async def test_no_more_jobs_run_at_once_than_allowed(tmp_path):
    handlers = Handlers()
    async with running(tmp_path, handlers, concurrency=2) as jobs:
        submitted = [await jobs.submit("wait", {}, project="tide") for _ in range(5)]
        await handlers.started.wait()
        handlers.gate.set()
        done = [await jobs.wait(each.id, timeout=30) for each in submitted]
    assert {each.status for each in done} == {"done"}
    assert handlers.most_at_once <= 2


async def test_stopping_interrupts_a_job_and_the_next_start_resumes_it(tmp_path):
    handlers = Handlers()
    async with running(tmp_path, handlers) as jobs:
        job = await jobs.submit("wait", {}, project="tide")
        await handlers.started.wait()
    assert handlers.finished_steps == []
    with pytest.raises(Unavailable):
        await jobs.submit("wait", {}, project="tide")
    handlers.gate.set()
    async with running(tmp_path, handlers) as jobs:
        assert (await jobs.wait(job.id, timeout=30)).result == "waited"
    assert handlers.finished_steps == [job.id]


async def test_a_job_cancelled_while_nothing_ran_does_not_start_again(tmp_path):
    handlers = Handlers()
    async with running(tmp_path, handlers) as jobs:
        job = await jobs.submit("wait", {}, project="tide")
        await handlers.started.wait()
    handlers.gate.set()
    async with running(tmp_path, handlers) as jobs:
        await jobs.cancel(job.id)
        assert (await jobs.wait(job.id, timeout=30)).status == "cancelled"
    assert handlers.finished_steps == []


async def test_without_work_the_driver_is_not_even_imported(tmp_path):
    database_path, jobs_path = tmp_path / "meta.db", tmp_path / "jobs.db"
    program = (
        "import sys, anyio, pathlib\n"
        "from tidemill.core.clock import Ids, SystemClock\n"
        "from tidemill.jobs import Jobs\n"
        "from tidemill.store.database import Database\n"
        "async def main():\n"
        "    database = Database.open(sys.argv[1])\n"
        "    options = {'handlers': {}, 'clock': SystemClock(), 'ids': Ids()}\n"
        "    jobs = Jobs(database=database, jobs_db=pathlib.Path(sys.argv[2]), **options)\n"
        "    await jobs.start(); await jobs.stop(); database.close()\n"
        "    print('dbos' in sys.modules)\n"
        "anyio.run(main)\n"
    )
    found = await anyio.run_process([sys.executable, "-c", program, str(database_path), str(jobs_path)])
    assert found.stdout == b"False\n"


async def test_a_jobs_database_that_is_none_is_a_clear_error(tmp_path):
    (tmp_path / "jobs.db").write_text("this is not a database, but it is long enough to look at " * 40)
    async with running(tmp_path, Handlers()) as jobs:
        job = await jobs.submit("add", {"a": 1, "b": 2}, project="tide")
        job = await jobs.wait(job.id, timeout=30)
        assert job.status == "failed"
        assert "jobs.db does not work" in (job.error or "")
        with pytest.raises(Unavailable, match="does not work"):
            await jobs.submit("add", {"a": 1, "b": 2}, project="tide")
