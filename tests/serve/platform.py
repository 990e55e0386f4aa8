"""The real parts of a server behind a real socket, for tests of the data plane."""

import asyncio
import contextlib
import socket

import httpx
import openai
import uvicorn

from tidemill.core.clock import Ids, SystemClock
from tidemill.core.documents import load_documents
from tidemill.core.extend import load_extension
from tidemill.data.index import Indexes
from tidemill.flows.run import Runner
from tidemill.models.routed import Routes
from tidemill.models.service import Models
from tidemill.serve import DataPlane, LiveEndpoints
from tidemill.store import access, config, endpoints, registry, release
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan
from tidemill.telemetry.recorder import Recorder
from tidemill.testing.policies import LetAll

PROJECT = "tide"
KINDS = ("agent", "guardrail", "chain", "connection", "embedder", "endpoint", "index", "model", "prompt", "route")
ADMIN = access.new_admin_token()


class Platform:
    """Everything that a data plane needs; `spans` are the finished spans."""

    def __init__(self, folder, **options):
        self.clock = SystemClock()
        self.spans = []
        self.database = Database.open(folder / "meta.db")
        self.kinds = {name: load_extension("kinds", name)() for name in KINDS}
        self.blobs = Blobs(folder / "blobs", PROJECT)
        self.models = Models(connection_for=self._connection, clock=self.clock)
        self.routes = Routes(direct=self.models.router, version_of=self._version, clock=self.clock)
        self.models.router = self.routes
        indexes = Indexes(
            database=self.database, blobs=lambda project: Blobs(folder / "blobs", project), models=self.models, clock=self.clock
        )
        self.indexes = indexes
        self.live = LiveEndpoints(self.database)
        self.plane = DataPlane(
            authenticate=self._authenticate,
            runner=Runner(models=self.models, indexes=indexes, database=self.database, clock=self.clock),
            models=self.models,
            database=self.database,
            recorder=Recorder(self.spans.append, ids=Ids(), clock=self.clock),
            environment="local",
            endpoints=self.live,
            **options,
        )
        self.url = ""
        self.closing = contextlib.AsyncExitStack()

    @property
    def roots(self):
        """The spans that begin something here; above one may be a span of the client's, which some record by themselves."""
        ours = {each.span_id for each in self.spans}
        return [each for each in self.spans if each.parent_id not in ours]

    async def _connection(self, project, name, environment):
        return await self.database.read(lambda db: config.connection_for(db, project, name, environment))

    async def _version(self, project, ref):
        return await self.database.read(lambda db: registry.get_version(db, project, ref))

    async def _authenticate(self, headers):
        presented = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key")
        admin = access.hash_token(ADMIN)
        return await self.database.read(lambda db: access.authenticate(db, presented, admin_token_hash=admin))

    async def apply(self, text, files=None):
        entries = {"tide.yaml": text.encode(), **(files or {})}
        folder = FilesFolder(entries, self.blobs)
        documents = load_documents(text, path="tide.yaml")
        return await self.database.write(
            lambda db: apply_plan(
                db, project=PROJECT, kinds=self.kinds, environment="local", now_ns=self.clock.now_ns(),
                files=folder, documents=documents,
            )
        )  # fmt: skip

    async def deploy(self, app, name):
        """Deploy as the control plane does; the digest of the release."""

        def work(db):
            made = release.make_release(db, PROJECT, app, now_ns=self.clock.now_ns(), by="test")
            endpoints.deploy(
                db,
                PROJECT,
                name,
                release=made.digest,
                root=made.root.ref,
                policies=LetAll(),
                by="test",
                now_ns=self.clock.now_ns(),
            )
            return made.digest

        digest = await self.database.write(work)
        await self.live.refresh(PROJECT, name)
        return digest

    async def rollback(self, name):
        await self.database.write(
            lambda db: endpoints.rollback(db, PROJECT, name, policies=LetAll(), by="test", now_ns=self.clock.now_ns())
        )
        await self.live.refresh(PROJECT, name)

    async def key(self, *names):
        make = {"now_ns": self.clock.now_ns(), "endpoints": names or None}
        return (await self.database.write(lambda db: access.create_key(db, PROJECT, **make)))[1]

    async def client(self, key=None):
        """The stock client with a key of the project, never trying again."""
        client = openai.AsyncOpenAI(api_key=key or await self.key(), base_url=f"{self.url}/v1", max_retries=0)
        return await self.closing.enter_async_context(client)

    async def http(self):
        headers = {"authorization": f"Bearer {await self.key()}"}
        return await self.closing.enter_async_context(httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30))

    async def close(self):
        await self.routes.close()
        await self.models.close()
        self.database.close()


async def whole_body(receive) -> bytes:
    """What a request to an ASGI application of a test holds."""
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


@contextlib.asynccontextmanager
async def listening(app):
    """Serve an ASGI application on a loopback port; its URL."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # or asyncio leaves Nagle on
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=5, timeout_keep_alive=75)
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def serving(folder, text="", **options):
    """A platform that listens, with what `text` describes applied."""
    platform = Platform(folder, **options)
    try:
        if text:
            await platform.apply(text)
        async with listening(platform.plane) as url:
            platform.url = url
            async with platform.closing:
                yield platform
    finally:
        await platform.close()
