"""The routes of one server, put on the way of every call of a model."""

from __future__ import annotations

from tidemill.core.clock import Clock
from tidemill.core.records import Version
from tidemill.core.refs import Ref
from tidemill.models.caller import CacheControl, Caller
from tidemill.models.healing import ping_request
from tidemill.models.routed import Routes
from tidemill.models.routing.facts import LanguageOf
from tidemill.models.service import Models
from tidemill.store import registry
from tidemill.store.database import Database
from tidemill.telemetry.recorder import null_recorder


def open_routes(models: Models, *, database: Database, clock: Clock, language_of: LanguageOf | None) -> Routes:
    """What routes decide stands on the way of every call; a call of one model goes on as before."""

    async def version_of(project: str, ref: Ref) -> Version:
        return await database.remember(("version", project, str(ref)), lambda db: registry.get_version(db, project, ref))

    async def ping(model: Version, project: str, environment: str) -> None:
        caller = Caller(project=project, environment=environment, cache=CacheControl(read=False, write=False))
        if model.kind == "embedder":
            await models.embed(model, ["ping"], caller=caller)
            return
        span = null_recorder().trace("health", kind="llm", project=project)
        await models.chat(model, ping_request(), caller=caller, span=span)

    routes = Routes(direct=models.router, version_of=version_of, clock=clock, language_of=language_of, ping=ping)
    models.router = routes
    return routes
