"""Real parts for the tests: a database, a registry with a pipeline, and the service that runs it."""

from __future__ import annotations

import contextlib

import anyio

from places import database_place
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.documents import load_documents
from tidemill.core.extend import load_extension
from tidemill.pipelines.kinds import PipelineKind
from tidemill.pipelines.python import call_python
from tidemill.pipelines.service import Pipelines
from tidemill.store import pipelines as rows
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan

PROJECT = "tide"


class House:
    """One data folder with the pipelines service over it."""

    def __init__(self, folder, *, clock=None, handlers=None):
        self.folder = folder
        self.clock = clock or SystemClock()
        self.database = Database.open(database_place(folder))
        self.blobs = Blobs(folder / "blobs", PROJECT)
        self.kinds = {name: load_extension("kinds", name)() for name in ("gate", "dataset", "prompt", "model", "monitor")}
        self.kinds["pipeline"] = PipelineKind()
        self.handlers = {"python": call_python, **(handlers or {})}
        self.pipelines = self.service()

    def service(self):
        return Pipelines(database=self.database, clock=self.clock, ids=Ids(clock=self.clock), handlers=self.handlers)

    async def apply(self, text):
        documents = load_documents(text, path="tide.yaml")
        return await self.database.write(
            lambda db: apply_plan(
                db, project=PROJECT, kinds=self.kinds, environment="local", now_ns=self.clock.now_ns(),
                files=FilesFolder({"tide.yaml": text.encode()}, self.blobs), documents=documents,
            )
        )  # fmt: skip

    async def add_monitor(self, name="support"):
        """A monitor; nobody lets it look here."""
        await self.apply(f"{{kind: monitor, name: {name}, endpoint: endpoint/{name}, reference: 7d}}")

    async def run(self, name="tide", **inputs):
        run = await self.pipelines.begin(PROJECT, f"pipeline/{name}", inputs, who="ada")
        return await self.pipelines.wait(run.id, timeout=30)

    async def steps(self, run):
        return {each.step: each for each in await self.database.read(lambda db: rows.get_steps(db, run.id))}

    async def until(self, run, step, status):
        """Wait until a step stands so; nothing else tells a reader of the database."""
        with anyio.fail_after(20):
            while (await self.steps(run))[step].status != status:  # noqa: ASYNC110  (the row is the only event)
                await anyio.sleep(0.01)

    async def lines(self, run, step=None):
        page = await self.database.read(lambda db: rows.list_lines(db, run.id, step=step))
        return [each.line for each in page.items]


@contextlib.asynccontextmanager
async def open_house(folder, **options):
    house = House(folder, **options)
    await house.pipelines.start()
    try:
        yield house
    finally:
        await house.pipelines.stop()
        house.database.close()
