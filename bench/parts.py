"""Real parts in a temporary folder, for the benchmarks that need them without a server."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tidemill.core.clock import SystemClock
from tidemill.core.documents import load_documents
from tidemill.core.extend import load_extension
from tidemill.data.index import Indexes
from tidemill.flows.run import Runner
from tidemill.models.caller import Caller
from tidemill.models.service import Models
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan
from tidemill.store.release import load_bundle, make_release

HERE = {"project": "default", "environment": "local"}
CALLER = Caller.internal(**HERE)
KINDS = ("chain", "embedder", "function", "index", "model", "prompt")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A database, a blob store, models and what runs on them."""

    folder: Path
    database: Database
    blobs: Blobs
    models: Models
    indexes: Indexes
    runner: Runner

    def apply(self, text, *, files=()):
        """Apply documents, with the files that they name; the versions by `kind/name`."""
        folder = FilesFolder(dict(files), self.blobs)
        documents = load_documents(text, path="tidemill/bench.yaml")
        kinds = {each: load_extension("kinds", each)() for each in KINDS}
        applied = self.database.write_sync(
            lambda db: apply_plan(db, **HERE, kinds=kinds, now_ns=time.time_ns(), files=folder, documents=documents)
        )
        return {each.bare: each for each in applied.versions}

    def bundle(self, root):
        """The release of `root`, ready to run."""
        now = time.time_ns()
        release = self.database.write_sync(lambda db: make_release(db, HERE["project"], root, now_ns=now))
        return self.database.read_sync(lambda db: load_bundle(db, HERE["project"], release.digest))

    def code(self, name, text):
        """Put a module of the project's own where `call: module:function` is looked for."""
        (self.folder / f"{name}.py").write_text(text)
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))


async def _no_connection(_project, _name, _environment):
    return None


@contextlib.asynccontextmanager
async def open_parts(*, models=None) -> AsyncIterator[Parts]:
    """Everything over one temporary folder; `models` may stand in for the real ones."""
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), SystemClock()
        database = Database.open(folder / "meta.db")
        models = models or Models(connection_for=_no_connection, clock=clock)
        blobs = Blobs(folder / "blobs", HERE["project"])
        indexes = Indexes(database=database, blobs=lambda _: blobs, models=models, clock=clock)
        runner = Runner(models=models, indexes=indexes, database=database, clock=clock)
        try:
            yield Parts(folder=folder, database=database, blobs=blobs, models=models, indexes=indexes, runner=runner)
        finally:
            await models.close()
            database.close()
