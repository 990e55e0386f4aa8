"""The guardrails of one server: those of models, routes and endpoints, by what their documents say."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast

from sqlalchemy import Connection

from tidemill.core.clock import Clock, Ids
from tidemill.core.errors import NotFound, TidemillError, Unavailable
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.caller import Caller
from tidemill.models.calls import Call
from tidemill.models.checks.guardrail import Guardrail
from tidemill.models.checks.screen import Escalated, Screen
from tidemill.models.service import Models
from tidemill.store import config, registry
from tidemill.store.database import Database
from tidemill.store.feedback import Feedback, add_feedback
from tidemill.telemetry import Span

Compile: TypeAlias = Callable[[Version], Guardrail]
_REMEMBERED: Final = 1024
_ANSWERED: Final = frozenset({"chat", "completions"})
_NONE: Final[tuple[Guardrail, ...]] = ()
_log = logging.getLogger(__name__)


class StandingGuards:
    """The `Guards` of one server. `compiled` makes a guardrail of its document; each is made once and kept."""

    def __init__(self, database: Database, *, compiled: Compile, escalations: Escalations) -> None:
        self._database = database
        self._compile = compiled
        self._escalations = escalations
        self._of_models: OrderedDict[tuple[str, str], tuple[Guardrail, ...]] = OrderedDict()
        self._made: OrderedDict[tuple[str, str], Guardrail] = OrderedDict()

    async def screen_for(self, call: Call, *, at_door: bool) -> Screen | None:
        """What guards a call of this model or route; `at_door` those of the caller's endpoint, too."""
        model, caller = call.model, call.caller
        place = (caller.project, model.digest)
        found = self._of_models.get(place)
        if found is None:
            found = self._of_models[place] = await self._database.remember(
                ("guards", *place), lambda db: self._guarding(db, caller.project, model)
            )
            if len(self._of_models) > _REMEMBERED:
                self._of_models.popitem(last=False)
        if at_door and caller.endpoint is not None:
            found = (*await self._endpoint(caller, caller.endpoint), *found)
        if not found:
            return None
        if call.operation not in _ANSWERED:
            found = tuple(each for each in found if each.point != "output")
        return Screen(found, call.span, on_escalated=self._escalations) if found else None

    async def screen_at(self, caller: Caller, span: Span) -> Screen | None:
        """What guards the endpoint that a caller asked, for an application that is more than a model."""
        found = _NONE if caller.endpoint is None else await self._endpoint(caller, caller.endpoint)
        return Screen(found, span, on_escalated=self._escalations) if found else None

    async def close(self) -> None:
        """Wait for what is on its way to a reviewer."""
        await self._escalations.close()

    async def _endpoint(self, caller: Caller, name: str) -> tuple[Guardrail, ...]:
        project, environment = caller.project, caller.environment
        place = ("guardrails", project, environment, name)
        versions = await self._database.remember(place, lambda db: _of_endpoint(db, project, environment, name))
        return tuple(self._compiled(each) for each in versions) if versions else _NONE

    def _guarding(self, db: Connection, project: str, model: Version) -> tuple[Guardrail, ...]:
        """A model's own; of a route, its own and those of every model that it may ask."""
        found = _referenced(db, project, model)
        if model.kind == "route":
            targets = cast("Sequence[dict[str, str]]", model.spec.get("targets", ()))
            for target in targets:
                ref = parse_ref(target["model"])
                version = registry.get_version(db, project, ref.at(model.refs[target["model"]]))
                found += _referenced(db, project, version)
        return tuple({each.digest: self._compiled(each) for each in found}.values())

    def _compiled(self, version: Version) -> Guardrail:
        place = (version.bare, version.digest)
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = self._compile(version)
            if len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return made


class Escalations:
    """Keeps what is for a person to look at as feedback, an event `escalated` on the guardrail's span."""

    def __init__(self, *, database: Database, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._writing: set[asyncio.Task[None]] = set()

    def __call__(self, escalated: Escalated) -> None:
        """Write it soon."""
        said = Feedback(
            project=escalated.project, id=self._ids.text(), trace_id=escalated.trace_id, span_id=escalated.span_id,
            kind="event", name="escalated", user=escalated.user or "", source=escalated.guardrail,
            value={"guardrail": escalated.guardrail, "on": escalated.point, "found": list(escalated.labels)},
            created_ns=self._clock.now_ns(),
        )  # fmt: skip
        task = asyncio.get_running_loop().create_task(self._write(said))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is on its way."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, said: Feedback) -> None:
        try:
            await self._database.tally(lambda db: add_feedback(db, said))
        except TidemillError as error:
            _log.warning("what %s escalated of trace %s could not be kept: %s", said.source, said.trace_id, error)


def open_guards(models: Models, *, database: Database, clock: Clock, ids: Ids, compiled: Compile) -> StandingGuards:
    """Guardrails on the way of every call of `models`; a call of which no document says `guardrails` costs one look-up."""
    escalations = Escalations(database=database, clock=clock, ids=ids)
    guards = StandingGuards(database, compiled=compiled, escalations=escalations)
    models.guards = guards
    return guards


def _referenced(db: Connection, project: str, owner: Version) -> list[Version]:
    names = cast("Sequence[str]", owner.spec.get("guardrails", ()))
    return [registry.get_version(db, project, parse_ref(name).at(owner.refs[name])) for name in names]


def _of_endpoint(db: Connection, project: str, environment: str, name: str) -> tuple[Version, ...]:
    """The newest of those that an endpoint's document names. Raises `Unavailable` where one is not there any more."""
    try:
        spec = config.get_config(db, project, "endpoint", name, environment).spec
    except NotFound:
        return ()
    try:
        return tuple(
            registry.get_version(db, project, parse_ref(each)) for each in cast("Sequence[str]", spec.get("guardrails", ()))
        )
    except NotFound as error:
        hint = "Apply the guardrail again, or take it out of the endpoint."
        raise Unavailable(f"endpoint/{name}: {error.message}", hint=hint, where=f"endpoint/{name}") from error
