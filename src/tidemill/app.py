"""The composition root: the one place that knows every part, opens them in order, and closes them in reverse."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
from starlette.types import ASGIApp

from tidemill.api.alerts import DELIVER, AlertJob, AlertRetries
from tidemill.api.announce import announce, check_flags, login_link, url_of
from tidemill.api.control import control_plane, in_form
from tidemill.api.delete import PurgeLook
from tidemill.api.entry import Entry
from tidemill.api.evaluations import EvaluationJob
from tidemill.api.front import Front
from tidemill.api.idempotency import IdempotencyPurge
from tidemill.api.indexes import IndexBuildJob
from tidemill.api.metrics import Measured, MetricsPage, counting
from tidemill.api.models_compare import ModelsCompareJob
from tidemill.api.monitor_schedule import MonitorSchedule
from tidemill.api.monitors import RUN, MonitorJob
from tidemill.api.own_jobs import recorded
from tidemill.api.part import WHOLE, Part
from tidemill.api.pipeline_steps import step_handlers
from tidemill.api.platform import Platform
from tidemill.api.reprice import KIND as REPRICE
from tidemill.api.reprice import RepriceJob
from tidemill.api.retention import RetentionLook
from tidemill.api.traces_erase import ERASE, EraseLook, TraceEraseJob
from tidemill.api.transfer import IMPORT, ImportJob
from tidemill.api.tune import TuneJob
from tidemill.core.chat import Connection
from tidemill.core.clock import Clock, Ids, SystemClock
from tidemill.core.errors import Conflict
from tidemill.core.extend import ArtifactKind, JobHandler, extension_names, load_extension
from tidemill.core.logs import start_logging
from tidemill.core.settings import Settings
from tidemill.data.index import Indexes
from tidemill.flows.guard import standing_guardrail
from tidemill.flows.providers import languages
from tidemill.flows.run import Runner
from tidemill.govern.policy import Policies
from tidemill.jobs.engine import Jobs
from tidemill.jobs.presence import Presence
from tidemill.jobs.schedules import Schedules
from tidemill.models.cache.opened import open_cache
from tidemill.models.checks.opened import open_guards
from tidemill.models.limits.opened import open_limits
from tidemill.models.routed_open import open_routes
from tidemill.models.service import Models
from tidemill.pipelines.service import Pipelines
from tidemill.pipelines.step import StepHandler
from tidemill.pipelines.triggers import Triggers
from tidemill.serve.endpoints import LiveEndpoints
from tidemill.serve.otlp import OtlpDoor
from tidemill.serve.otlp_access import IngestAccess
from tidemill.serve.otlp_grpc import GrpcDoor
from tidemill.serve.wire import DataPlane
from tidemill.store import config
from tidemill.store.access import Principal
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.folder import DataFolder
from tidemill.store.project_keys import ProjectKeys
from tidemill.store.purge import users_of
from tidemill.telemetry.engine.clickhouse import RemoteEngine, server_url
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.privacy.marks import Marks
from tidemill.telemetry.privacy.payloads import Payloads
from tidemill.telemetry.recorder import Recorder
from tidemill.telemetry.rules.book import RuleBook
from tidemill.telemetry.store import Telemetry
from tidemill.telemetry.watch import Measures

_OTLP_GRPC = 4317  # the protocol's own port
_HOUR = 3600.0  # seconds
_LOCK_WAIT = 2.0  # seconds: a command that is just ending lets go of the folder


@contextlib.asynccontextmanager
async def open_app(
    settings: Settings, *, hosts: frozenset[str] = frozenset(), clock: Clock | None = None
) -> AsyncGenerator[ASGIApp]:
    """The whole platform over one data folder, as an ASGI application; closing it loses nothing that was acknowledged.

    Raises `Conflict` when another process holds the folder, or a newer Tidemill made it.
    """
    folder = DataFolder.open(settings.data, wait=_LOCK_WAIT)
    with folder:
        async with open_parts(settings, folder, clock or SystemClock()) as platform:
            yield front(platform, hosts)


async def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8710,
    otlp_grpc_port: int | None = None,
    open_browser: bool = False,
    json: bool = False,
) -> None:
    """Run the server in this process until SIGTERM or SIGINT; then drain and return. Prints where it listens when it is ready.

    OTLP over gRPC listens on `otlp_grpc_port`; without one, on 4317 unless that is in use.
    """
    from tidemill.api.listen import bind, listen  # noqa: PLC0415  (uvicorn, which a command without a server does not need)

    check_flags(("--port", port), ("--otlp-grpc-port", otlp_grpc_port or 0), workers=1)
    with contextlib.ExitStack() as before:
        before.callback(start_logging(settings.log_format, settings.log_level))
        folder = before.enter_context(DataFolder.open(settings.data, wait=_LOCK_WAIT))
        listener = before.enter_context(contextlib.closing(bind(host, port)))
        url = url_of(host, listener.getsockname()[1])
        async with (
            open_parts(settings, folder, SystemClock()) as platform,
            otlp_grpc_door(platform, host, otlp_grpc_port) as (otlp_grpc, drain),
        ):
            link = "" if json else await login_link(platform, url)

            def ready() -> None:
                folder.write_server_file(url)
                announce(url, folder.token_file, link, otlp_grpc=otlp_grpc, json=json, open_browser=open_browser)

            try:
                async with anyio.create_task_group() as beside:
                    beside.start_soon(platform.schedules.run)
                    await listen(front(platform, frozenset({host})), listener, on_ready=ready, on_stop=drain)
                    beside.cancel_scope.cancel()
            finally:
                folder.remove_server_file()


@contextlib.asynccontextmanager
async def otlp_grpc_door(
    platform: Platform, host: str, port: int | None
) -> AsyncGenerator[tuple[str | None, Callable[[], None]]]:
    """Listen for OTLP over gRPC; the address, and what ends it softly.

    A port that nobody asked for may be taken: then it is said, and that is all.
    """
    door = GrpcDoor(
        platform.intake,
        authenticate=_by_headers(platform.entry),
        authorize=IngestAccess(platform.database).project_of,
        keep_denied=platform.entry.denied,
    )
    async with contextlib.AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(door.listening(host, _OTLP_GRPC if port is None else port))
        except Conflict as error:
            if port is not None:
                raise
            sys.stderr.write(f"OTLP over gRPC does not listen: {error.message}. {error.hint}\n")
            address = None
        yield address, door.drain


@contextlib.asynccontextmanager
async def open_parts(settings: Settings, folder: DataFolder, clock: Clock, *, part: Part = WHOLE) -> AsyncGenerator[Platform]:
    """Open every part in order, and close them in reverse; `part` says which of them work in this process."""
    if str(settings.root) not in sys.path:
        sys.path.insert(0, str(settings.root))  # where `call: module:function` is looked for
    where, is_owner = settings.database_url() or folder.database, part.name is None
    database = await anyio.to_thread.run_sync(lambda: Database.open(where, migrate=is_owner, has_others=not part.is_whole))
    handlers: dict[str, JobHandler] = {}
    steps: dict[str, StepHandler] = {}
    platform = _assemble(settings, folder, database, handlers, steps, clock=clock, part=part)
    if is_owner:
        _add_work(platform, handlers, steps)
    try:
        await platform.telemetry.start()
        if is_owner:
            await platform.jobs.start()
            await platform.pipelines.start()
        yield platform
    finally:
        with anyio.CancelScope(shield=True):
            if is_owner:
                await platform.pipelines.stop()
                await platform.jobs.stop()
            await platform.routes.close()
            await platform.models.close()
            await platform.limits.close()
            await platform.kept.close()
            await platform.telemetry.stop()
            await platform.entry.stop()
            await anyio.to_thread.run_sync(database.close)


def _add_work(platform: Platform, handlers: dict[str, JobHandler], steps: dict[str, StepHandler]) -> None:
    """Say what does each kind of job and step, and what is looked at as time goes by."""
    handlers.update(
        {
            "evaluation": EvaluationJob(platform),
            "index.build": IndexBuildJob(platform),
            "tune": TuneJob(platform),
            "models.compare": ModelsCompareJob(platform),
            IMPORT: ImportJob(platform),
            REPRICE: RepriceJob(platform),
            RUN: MonitorJob(platform),
            DELIVER: AlertJob(platform),
            ERASE: TraceEraseJob(platform),
        }
    )
    handlers.update(recorded(handlers, recorder=platform.recorder, own=platform.settings.own_spans))
    steps.update(step_handlers(platform))
    watching = MonitorSchedule(platform)
    triggers = Triggers(pipelines=platform.pipelines, database=platform.database, clock=platform.clock)
    for source in (watching.source(), triggers.source()):
        platform.schedules.add(source)
    purge = IdempotencyPurge(database=platform.database, clock=platform.clock)
    for look, every in (
        (watching.look, 0.0),
        (AlertRetries(platform).look, 0.0),
        (PurgeLook(platform).look, _HOUR),
        (purge.look, _HOUR / 6),
        (platform.kept.look_after, _HOUR / 60),
        (EraseLook(platform).look, 0.0),
        (RetentionLook(platform).look, _HOUR),
        (triggers.look, 0.0),
    ):
        platform.schedules.also(look, every=every)


def _assemble(
    settings: Settings, folder: DataFolder, database: Database, handlers: Mapping[str, JobHandler],
    steps: Mapping[str, StepHandler], *, clock: Clock, part: Part,
) -> Platform:  # fmt: skip
    ids = Ids(clock=clock)
    blobs = _open_blobs(settings.blobs or folder.blobs, database)
    keys = ProjectKeys(database, folder.root)
    telemetry = _open_telemetry(settings, folder, database, keys, part)
    measures = Measures()
    models = _open_models(database, blobs, clock)
    routes = open_routes(models, database=database, clock=clock, language_of=languages.finder())
    limits = open_limits(settings.gateway, models=models, database=database, clock=clock, ids=ids, counters=part.counters)
    open_guards(models, database=database, clock=clock, ids=ids, compiled=standing_guardrail)
    kept = open_cache(models=models, database=database, clock=clock)
    indexes = Indexes(database=database, blobs=blobs, models=models, clock=clock)
    presence = Presence(database, id=ids.text(), blobs=settings.blobs or folder.blobs)
    token = folder.admin_token_hash()
    jobs_db = settings.database_url() or folder.jobs_database
    jobs = Jobs(database=database, jobs_db=jobs_db, handlers=handlers, clock=clock, ids=ids, presence=presence)
    return Platform(
        settings=settings, data=folder.root, database=database, blobs=blobs, kinds=load_kinds(), clock=clock, ids=ids,
        telemetry=telemetry,
        project_keys=keys,
        intake=Intake(telemetry, clock=clock),
        recorder=Recorder(telemetry.before(counting(measures, telemetry.sink)), ids=ids, clock=clock),
        measures=measures,
        models=models, routes=routes, limits=limits, kept=kept, indexes=indexes,
        runner=Runner(models=models, indexes=indexes, database=database, clock=clock),
        jobs=jobs,
        pipelines=Pipelines(database=database, clock=clock, ids=ids, handlers=steps, jobs=jobs, presence=presence),
        schedules=Schedules(database=database, clock=clock),
        live=LiveEndpoints(database),
        policies=Policies(clock=clock),
        admin_token_hash=token,
        entry=Entry(database=database, clock=clock, admin_token_hash=token),
        process=presence.id,
        others=part.others,
    )  # fmt: skip


def _open_telemetry(settings: Settings, folder: DataFolder, database: Database, keys: ProjectKeys, part: Part) -> Telemetry:
    book = RuleBook(database, keys, environment=settings.environment)
    gate = Gate(book=book, payloads=Payloads(folder.root / "payloads", keys.get), marks=Marks(database, keys))
    address = server_url(os.environ)
    engine = RemoteEngine(address) if address else None
    return Telemetry(folder.root, gate=gate, engine=engine, others=part.others, hands_over=part.name)


def _open_blobs(root: Path, database: Database) -> Callable[[str], Blobs]:
    """The blobs of each project; a damaged one is named by the artifact that uses it."""

    def blobs(project: str) -> Blobs:
        def users(digest: str) -> list[str]:
            with database.engine.connect().execution_options(tidemill_reads=True) as connection:
                return users_of(connection, project, digest)

        return Blobs(root, project, users=users)

    return blobs


def _open_models(database: Database, blobs: Callable[[str], Blobs], clock: Clock) -> Models:
    async def connection_for(project: str, name: str, environment: str) -> Connection | None:
        key = ("connection", project, name, environment)
        return await database.remember(key, lambda db: config.connection_for(db, project, name, environment))

    async def read_blob(project: str, digest: str) -> bytes:
        return await anyio.to_thread.run_sync(blobs(project).get, digest)

    def path_of(project: str, digest: str) -> Path:
        return blobs(project).path(digest)

    return Models(connection_for=connection_for, clock=clock, read_blob=read_blob, path_of=path_of)


def load_kinds() -> Mapping[str, ArtifactKind]:
    """Every kind of artifact that is installed, built-in or not, by name."""
    kinds: dict[str, ArtifactKind] = {}
    for name in extension_names("kinds"):
        factory = cast("Callable[[], ArtifactKind]", load_extension("kinds", name))
        kinds[name] = factory()
    return kinds


def front(platform: Platform, hosts: frozenset[str], *, part: Part = WHOLE) -> ASGIApp:
    """Everything that is answered over HTTP; by a process that does not own it all, no more than the data plane."""

    async def is_ready() -> bool:
        return await platform.database.read(lambda db: db.exec_driver_sql("SELECT 1").scalar() == 1)

    data_plane = DataPlane(
        authenticate=_by_headers(platform.entry),
        runner=platform.runner,
        models=platform.models,
        database=platform.database,
        recorder=platform.recorder,
        environment=platform.settings.environment,
        endpoints=platform.live,
        otlp=OtlpDoor(
            platform.intake,
            authenticate=_by_headers(platform.entry),
            authorize=IngestAccess(platform.database).project_of,
        ),
    )
    doors = Front(
        data_plane=data_plane,
        control_plane=in_form(control_plane(platform), platform) if part.name is None else data_plane,
        entry=platform.entry,
        is_ready=is_ready,
        hosts=hosts,
        limits=platform.settings.limits,
        metrics=MetricsPage(platform),
    )
    own = platform.settings.own_spans
    return Measured(doors, measures=platform.measures, recorder=platform.recorder, own=own)


def _by_headers(entry: Entry) -> Callable[[Mapping[str, str]], Awaitable[Principal]]:
    async def by_headers(headers: Mapping[str, str]) -> Principal:
        return await entry.identify(headers, method="POST")

    return by_headers
