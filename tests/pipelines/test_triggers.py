"""What starts a pipeline by itself starts it once: schedules, drift, feedback, also with two schedulers at once."""

from __future__ import annotations

import anyio
import pytest

from pipelines.building import PROJECT, House
from tidemill.core.clock import FixedClock
from tidemill.jobs.schedules import Schedules
from tidemill.pipelines.triggers import Triggers
from tidemill.store import pipelines as rows
from tidemill.store.feedback import Feedback, add_feedback
from tidemill.store.monitors import MonitorRun, create_run
from tidemill.store.projects import change_project

pytestmark = pytest.mark.anyio
START = 1_795_000_000_000_000_000  # 2026-11-18 14:26:40 UTC
DAY = 86_400.0
PIPELINE = """
kind: pipeline
name: tide
on: {on}
steps:
  - {{id: only, python: "due_steps:work", cache: false}}
"""


class Scheduler:
    """One server's scheduler over a data folder."""

    def __init__(self, folder, clock):
        self.house = House(folder, clock=clock)
        self.schedules = Schedules(database=self.house.database, clock=clock)
        triggers = Triggers(pipelines=self.house.pipelines, database=self.house.database, clock=clock)
        self.schedules.add(triggers.source())
        self.schedules.also(triggers.look)

    async def tick(self):
        return list(await self.schedules.tick())

    async def archive(self, archived):
        now_ns = self.house.clock.now_ns()
        await self.house.database.write(lambda db: change_project(db, PROJECT, is_archived=archived, now_ns=now_ns, by="ada"))

    async def archive_then_answer(self, args, context):
        await self.archive(True)
        return 1

    async def found(self, run):
        return await self.house.database.read(lambda db: rows.get_run(db, PROJECT, run))

    async def runs(self):
        found = await self.house.database.read(lambda db: rows.list_runs(db, PROJECT))
        return list(found.items)

    async def finish(self):
        for each in await self.runs():
            await self.house.pipelines.wait(each.id, timeout=20)

    async def close(self):
        await self.house.pipelines.stop()
        self.house.database.close()


@pytest.fixture
def clock():
    return FixedClock(ns=START)


@pytest.fixture
async def scheduler(tmp_path, clock, code, anyio_backend):
    code("due_steps", "def work():\n    return 1\n\nasync def forever():\n    import anyio\n    await anyio.sleep_forever()\n")
    made = Scheduler(tmp_path, clock)
    yield made
    await made.close()


async def test_a_schedule_starts_a_run_when_its_time_comes(scheduler, clock):
    await scheduler.house.apply(PIPELINE.format(on='{schedule: "0 3 * * *"}'))
    assert await scheduler.tick() == []
    clock.advance(seconds=DAY)
    (run,) = await scheduler.tick()
    assert await scheduler.tick() == []
    await scheduler.finish()
    (found,) = await scheduler.runs()
    assert (found.id, found.status, found.trigger, found.who) == (run, "done", "schedule", "pipeline/tide")


async def test_times_that_were_missed_run_once(scheduler, clock):
    await scheduler.house.apply(PIPELINE.format(on='{schedule: "0 * * * *"}'))
    await scheduler.tick()
    clock.advance(seconds=3 * DAY)
    assert len(await scheduler.tick()) == 1
    await scheduler.finish()
    assert await scheduler.tick() == []
    clock.advance(seconds=3600)
    assert len(await scheduler.tick()) == 1


async def test_another_rule_starts_over(scheduler, clock):
    await scheduler.house.apply(PIPELINE.format(on='{schedule: "0 3 * * *"}'))
    await scheduler.tick()
    clock.advance(seconds=2 * DAY)
    await scheduler.house.apply(PIPELINE.format(on='{schedule: "0 0 1 1 *"}'))
    assert await scheduler.tick() == []
    await scheduler.house.apply(PIPELINE.format(on="{feedback: 5}"))
    clock.advance(seconds=400 * DAY)
    assert await scheduler.tick() == []


async def test_a_run_that_goes_on_holds_the_next_one_back(scheduler, clock):
    text = PIPELINE.format(on='{schedule: "0 * * * *"}').replace("work", "forever")
    await scheduler.house.apply(text)
    await scheduler.tick()
    clock.advance(seconds=DAY)
    (first,) = await scheduler.tick()
    clock.advance(seconds=DAY)
    assert await scheduler.tick() == []
    await scheduler.house.pipelines.cancel(PROJECT, first)
    assert len(await scheduler.tick()) == 1


async def test_two_schedulers_at_once_start_a_due_run_once(scheduler, clock, tmp_path):
    others = [Scheduler(tmp_path, clock) for _ in range(2)]
    try:
        await scheduler.house.apply(PIPELINE.format(on='{schedule: "0 * * * *"}'))
        await scheduler.tick()
        for round_ in range(1, 6):
            clock.advance(seconds=3600)
            started: list[str] = []

            async def tick(each, started=started):
                started += await each.tick()

            async with anyio.create_task_group() as tasks:
                for each in (scheduler, *others):
                    tasks.start_soon(tick, each)
            assert len(started) == 1
            for each in (scheduler, *others):
                with anyio.fail_after(20):
                    while each.house.pipelines.carries(started[0]):  # noqa: ASYNC110  (three services, one of them has it)
                        await anyio.sleep(0.005)
            assert [each.status for each in await scheduler.runs()] == ["done"] * round_
    finally:
        for each in others:
            await each.close()


async def give(house, clock):
    """Feedback of this moment."""
    now = clock.now_ns()
    row = Feedback(project=PROJECT, id=f"f{now}", trace_id=f"{now:032x}", span_id=None, kind="thumbs", value="down",
                   name="", user="", source="", created_ns=now)  # fmt: skip
    await house.database.write(lambda db: add_feedback(db, row))


async def test_enough_new_feedback_starts_a_run(scheduler, clock):
    async def say(count):
        for _ in range(count):
            clock.advance(seconds=1)
            await give(scheduler.house, clock)

    await say(5)
    await scheduler.house.apply(PIPELINE.format(on="{feedback: 3}"))
    assert await scheduler.tick() == []  # what was there before does not count
    await say(2)
    assert await scheduler.tick() == []
    await say(1)
    assert len(await scheduler.tick()) == 1
    await scheduler.finish()
    await say(2)
    assert await scheduler.tick() == []


async def test_an_alarm_starts_one_run(scheduler, clock):
    async def look(alarm):
        clock.advance(seconds=60)
        now = clock.now_ns()
        row = MonitorRun(id=f"m{now}", project=PROJECT, monitor="support", target="endpoint/support", status="done",
                         alarm=alarm, created_ns=now, updated_ns=now)  # fmt: skip
        await scheduler.house.database.write(lambda db: create_run(db, row))

    await scheduler.house.add_monitor()
    await look(alarm=True)
    await scheduler.house.apply(PIPELINE.format(on="{drift: monitor/support}"))
    assert await scheduler.tick() == []
    await look(alarm=False)
    assert await scheduler.tick() == []
    await look(alarm=True)
    assert len(await scheduler.tick()) == 1
    await scheduler.finish()
    clock.advance(seconds=60)
    assert await scheduler.tick() == []
    assert [each.trigger for each in await scheduler.runs()] == ["drift"]


async def test_an_alarm_that_a_pipeline_raised_itself_does_not_start_it_again(scheduler, clock):
    async def look(_, context):
        row = MonitorRun(id=context.id, project=PROJECT, monitor="support", target="endpoint/support", status="done",
                         alarm=True, created_ns=clock.now_ns(), updated_ns=clock.now_ns())  # fmt: skip
        await scheduler.house.database.write(lambda db: create_run(db, row))
        return {"run": row.id, "alarm": True}

    scheduler.house.handlers["monitor"] = look
    await scheduler.house.add_monitor()
    await scheduler.house.apply(
        "{kind: pipeline, name: tide, on: {drift: monitor/support, schedule: '0 * * * *'},"
        " steps: [{id: look, monitor: monitor/support}]}"
    )
    await scheduler.tick()
    clock.advance(seconds=3600)
    assert len(await scheduler.tick()) == 1
    await scheduler.finish()
    assert await scheduler.tick() == []


@pytest.mark.parametrize("on", ['{schedule: "0 3 * * *"}', "{feedback: 1}"])
async def test_in_an_archived_project_nothing_starts_by_itself(scheduler, clock, on):
    """What was missed meanwhile starts one run when it is brought back."""
    await scheduler.house.apply(PIPELINE.format(on=on))
    await scheduler.tick()
    await scheduler.archive(True)
    clock.advance(seconds=3 * DAY)
    await give(scheduler.house, clock)
    for _ in range(3):
        assert await scheduler.tick() == []
    await scheduler.archive(False)
    (run,) = await scheduler.tick()
    assert await scheduler.tick() == []
    await scheduler.finish()
    (found,) = await scheduler.runs()
    assert (found.id, found.status) == (run, "done")


async def test_a_run_in_a_project_that_is_archived_meanwhile_begins_no_more_steps(scheduler, clock):
    text = PIPELINE.format(on='{schedule: "0 3 * * *"}')
    await scheduler.house.apply(f"{text}  - {{id: after, python: 'due_steps:work', needs: [only]}}")
    await scheduler.tick()
    clock.advance(seconds=DAY)
    scheduler.house.handlers["python"] = scheduler.archive_then_answer
    (run,) = await scheduler.tick()
    await scheduler.finish()
    steps = {each.step: each.status for each in (await scheduler.house.steps(await scheduler.found(run))).values()}
    assert steps == {"only": "done", "after": "failed"}
