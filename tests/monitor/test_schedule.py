"""A monitor with a schedule looks by itself, once for each due time; what a kill left queued is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.api.monitor_schedule import MonitorSchedule
from tidemill.api.monitors import make_run, monitor_spec
from tidemill.app import open_parts
from tidemill.core.clock import FixedClock, SystemClock
from tidemill.core.documents import load_documents
from tidemill.core.settings import Settings
from tidemill.jobs.schedules import Schedules
from tidemill.store import monitors
from tidemill.store.files import FilesFolder
from tidemill.store.folder import DataFolder
from tidemill.store.plan import apply_plan
from tidemill.store.projects import change_project

pytestmark = pytest.mark.anyio
DOCUMENTS = """
{kind: dataset, name: q, rows: [{question: a}], roles: {input: question}}
---
{kind: model, name: said, provider: test}
---
kind: monitor
name: hourly
endpoint: endpoint/e
reference: dataset/q
tests: [tokens]
schedule: "0 * * * *"
"""
HOUR = 3600 * 10**9


async def test_a_monitor_runs_when_it_is_due_and_once(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path / "data")
    with folder:
        async with open_parts(Settings(root=tmp_path, data=tmp_path / "data"), folder, SystemClock()) as platform:
            files = FilesFolder({"a.yaml": DOCUMENTS.encode()}, platform.blobs("default"))

            def apply(db):
                apply_plan(
                    db, project="default", kinds=platform.kinds, environment="local", now_ns=1, files=files,
                    documents=load_documents(DOCUMENTS, path="a.yaml"),
                )  # fmt: skip

            await platform.database.write(apply)
            clock = FixedClock(ns=platform.clock.now_ns() // HOUR * HOUR + HOUR // 2)
            schedules = Schedules(database=platform.database, clock=clock)
            watching = MonitorSchedule(platform)
            schedules.add(watching.source())
            schedules.also(watching.look)
            assert await schedules.tick() == []  # its endpoint is not there yet, and it is not due
            clock.advance(seconds=3600)
            assert await schedules.tick() == []  # due, but there is nothing to watch: logged, and asked again

            await platform.database.write(lambda db: deploy(db, platform))
            for archived in (True, False):
                await platform.database.write(
                    lambda db, to=archived: change_project(db, "default", is_archived=to, now_ns=2, by="ada")
                )
                assert not archived or await schedules.tick() == []  # in an archived project nothing starts by itself
            (run,) = await schedules.tick()
            assert await schedules.tick() == []
            await platform.jobs.wait(run, timeout=60)
            found = await platform.database.read(lambda db: monitors.get_run(db, "default", run))
            assert (found.status, found.verdict, found.monitor) == ("done", "undecidable", "hourly")

            left = make_run(platform, "default", await monitor_spec(platform, "default", "hourly"), name="hourly")
            await platform.database.write(lambda db: monitors.create_run(db, left))  # as a kill would leave it
            await schedules.tick()
            await platform.jobs.wait(left.id, timeout=60)
            assert (await platform.database.read(lambda db: monitors.get_run(db, "default", left.id))).status == "done"


def deploy(db, platform) -> None:
    from tidemill.store import endpoints, release

    made = release.make_release(db, "default", "model/said", now_ns=1, by="t")
    endpoints.deploy(
        db, "default", "e", release=made.digest, root=made.root.ref, policies=platform.policies, by="t", now_ns=1
    )  # fmt: skip
