"""Real parts for the tests: a project's documents become a bundle, and a runner on a real database runs it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tidemill.core.chat import Connection
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.digests import artifact_digest
from tidemill.core.errors import Invalid
from tidemill.core.extend import load_extension
from tidemill.core.records import Bundle, SpanRecord, Version
from tidemill.core.refs import parse_ref
from tidemill.data.index import Indexes
from tidemill.flows.run import RunContext, Runner
from tidemill.models.service import Models
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.telemetry import Recorder


class Files:
    """A project folder in memory, over a real blob store."""

    def __init__(self, blobs: Blobs, files: dict[str, bytes] | None = None) -> None:
        self.blobs = blobs
        self.files = files or {}

    def read(self, path):
        if path not in self.files:
            raise Invalid(f"there is no file {path}")
        return self.files[path]

    def list(self, folder):
        return sorted(path for path in self.files if path.startswith(f"{folder.rstrip('/')}/"))

    def put_blob(self, content):
        return self.blobs.put(content)

    def has_blob(self, digest):
        return self.blobs.has(digest)


@dataclass
class Project:
    """Documents by `kind/name`, made into versions in the order written."""

    files: Files
    versions: dict[str, Version] = field(default_factory=dict)

    def add(self, ref: str, **body) -> Version:
        name = parse_ref(ref)
        kind = load_extension("kinds", name.kind)()
        body = {key.rstrip("_"): value for key, value in body.items()}
        parsed = kind.parse(body, files=self.files)
        resolved = {written: self.versions[written.partition("@")[0]] for written in parsed.references.values()}
        problems = kind.check(parsed.spec, resolved=resolved)
        if problems:
            raise Invalid(problems[0].message, problems=problems)
        refs = {written: version.digest for written, version in resolved.items()}
        self.versions[ref] = version = Version(
            project="default",
            kind=name.kind,
            name=name.name,
            number=1,
            digest=artifact_digest(name.kind, spec=parsed.spec, refs=refs, blobs=parsed.blobs),
            spec=parsed.spec,
            refs=refs,
            blobs=parsed.blobs,
        )
        return version

    def bundle(self, ref: str) -> Bundle:
        root = self.versions[ref]
        versions = {each.digest: each for each in self.versions.values()}
        return Bundle(release=root.digest, root=root, versions=versions)


async def no_connection(project: str, name: str, environment: str) -> Connection | None:
    return None


@dataclass
class Workbench:
    project: Project
    runner: Runner
    recorder: Recorder
    spans: list[SpanRecord]
    database: Database

    def context(self, **rest) -> RunContext:
        span = self.recorder.trace("test", kind="chain", project="default")
        return RunContext(project="default", environment="local", span=span, **rest)

    async def run(self, ref: str, inputs=None, **rest):
        context = self.context(**rest)
        with context.span:
            return await self.runner.run(self.project.bundle(ref), inputs or {}, context=context)

    def stream(self, ref: str, inputs=None, **rest):
        return self.runner.stream(self.project.bundle(ref), inputs or {}, context=self.context(**rest))

    def named(self, name: str) -> list[SpanRecord]:
        return [each for each in self.spans if each.name == name]


@contextlib.asynccontextmanager
async def workbench(folder: Path, files: dict[str, bytes] | None = None):
    spans: list[SpanRecord] = []
    clock = SystemClock()
    database = Database.open(folder / "meta.db")
    models = Models(connection_for=no_connection, clock=clock)
    blobs = Blobs(folder / "blobs", "default")
    indexes = Indexes(database=database, blobs=lambda _: blobs, models=models, clock=clock)
    try:
        yield Workbench(
            project=Project(files=Files(blobs, files)),
            runner=Runner(models=models, indexes=indexes, database=database, clock=clock),
            recorder=Recorder(spans.append, ids=Ids(clock=clock), clock=clock),
            spans=spans,
            database=database,
        )
    finally:
        await models.close()
        database.close()
