"""Durable schedules: what is due is started once, over restarts and with several schedulers at once.

A tick looks at every schedule. A due time is claimed by compare and set in its row, in the same transaction that writes what
it starts, so that a kill in between loses nothing and starts nothing twice. Times that were missed run once. Cron is in UTC.
In an archived project nothing is due; what was missed meanwhile runs once when it is brought back.

A part that schedules something adds a `Source`: `schedules.add(Source(kind="monitor", due=…, begin=…, started=…))`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
from sqlalchemy import Connection, select

from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.jobs.cron import parse_cron
from tidemill.store import registry
from tidemill.store.database import Database
from tidemill.store.projects import archived_projects, is_archived
from tidemill.store.schedules import find_mark, move_mark, read_mark
from tidemill.store.tables import artifacts

_TICK_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """One thing that runs by the clock. `cron` is its rule as written, in UTC."""

    project: str
    name: str
    cron: str


Due = Callable[[Connection], Iterable[Scheduled]]
"""Everything of one kind that has a schedule now."""
Begin = Callable[[Connection, Scheduled, int], str | None]
"""Write, in the claim's transaction, what the due time (nanoseconds) starts, such as a job's row; its id. None: not now, so
that it is asked again at the next tick and the missed time runs once later."""
Started = Callable[[Scheduled, str], Awaitable[None]]
"""Set going what was written, after the transaction. A kill before it must not lose it: rows are taken up at the next start."""
Look = Callable[[], Awaitable[Sequence[str]]]
"""Anything else that is looked at at every tick; what it started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A kind of scheduled thing: where its schedules are, and how one is started."""

    kind: str
    due: Due
    begin: Begin
    started: Started


class _Looked:
    """A look, and when it is due again. A clock that was set back does not stop it."""

    def __init__(self, look: Look, every_ns: int) -> None:
        self.look = look
        self._every_ns = every_ns
        self._next_ns = 0

    def is_due(self, now_ns: int) -> bool:
        if self._next_ns - self._every_ns <= now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._every_ns
        return True


class Schedules:
    """Looks every few seconds at what is due. Only a server runs one; a command that ends at once starts nothing."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._sources: list[Source] = []
        self._looks: list[_Looked] = []

    def add(self, source: Source) -> None:
        """Watch one more kind."""
        self._sources.append(source)

    def also(self, look: Look, *, every: float = 0.0) -> None:
        """Do something else at every tick, such as looking for what no clock tells; not more often than `every` seconds."""
        self._looks.append(_Looked(look, round(every * 1e9)))

    async def run(self, *, every: float = _TICK_SECONDS) -> None:
        """Tick until cancelled. A tick that fails is logged, and the next one tries again."""
        while True:
            try:
                await self.tick()
            except TidemillError as error:
                _log.warning("schedules: %s", error)
            await anyio.sleep(every)

    async def tick(self) -> Sequence[str]:
        """Start what is due now; the ids of what was started."""
        started: list[str] = []
        for source in self._sources:
            listed = await self._database.read(lambda db, source=source: _due(db, source))
            for each in listed:
                try:
                    began = await self._claim(source, each)
                    if began is not None:
                        await source.started(each, began)
                        started.append(began)
                except TidemillError as error:  # one that cannot start keeps no other from it
                    _log.warning("%s/%s was due and did not start: %s", source.kind, each.name, error)
        for looked in self._looks:
            if looked.is_due(self._clock.now_ns()):
                started += await looked.look()
        return started

    async def _claim(self, source: Source, item: Scheduled) -> str | None:
        now_ns = self._clock.now_ns()
        try:
            cron = parse_cron(item.cron)
        except Invalid as error:  # kept by a version that allowed it
            _log.warning("%s/%s: %s", source.kind, item.name, error)
            return None
        key = ("schedule", source.kind, item.project, item.name, item.cron)
        at = (item.project, source.kind, item.name)
        known = await self._database.remember(key, lambda db: find_mark(db, *at, trigger="schedule", rule=item.cron))
        if known is not None and known.mark_ns > now_ns:
            return None

        def work(db: Connection) -> str | None:
            if is_archived(db, item.project):
                return None
            mark = read_mark(db, *at, trigger="schedule", rule=item.cron, first_ns=cron.next_after(now_ns))
            if mark.mark_ns > now_ns:
                return None
            began = source.begin(db, item, mark.mark_ns)
            if began is None:
                return None
            if not move_mark(
                db, *at, trigger="schedule", expected_ns=mark.mark_ns, mark_ns=cron.next_after(now_ns), now_ns=now_ns
            ):
                raise _Lost
            return began

        try:
            return await self._database.write(work)
        except _Lost:
            return None


def _due(db: Connection, source: Source) -> list[Scheduled]:
    """What of a source is in projects that are not archived."""
    archived = archived_projects(db)
    return [each for each in source.due(db) if each.project not in archived]


class _Lost(Exception):
    """Another scheduler was quicker; what this one wrote is taken back with the transaction."""


def scheduled_artifacts(kind: str, cron_of: Callable[[JsonObject], str | None] | None = None) -> Due:
    """A `Due` of the latest versions of a kind, of every project; by default the rule stands in the spec's `schedule`."""

    def due(db: Connection) -> list[Scheduled]:
        found: list[Scheduled] = []
        for version in latest_versions(db, kind):
            value = version.spec.get("schedule") if cron_of is None else cron_of(version.spec)
            if isinstance(value, str):
                found.append(Scheduled(project=version.project, name=version.name, cron=value))
        return found

    return due


def latest_versions(db: Connection, kind: str) -> list[Version]:
    """The latest version of every artifact of a kind, of every project."""
    projects = db.execute(select(artifacts.c.project).where(artifacts.c.kind == kind).distinct()).scalars().all()
    found: list[Version] = []
    for project in projects:
        cursor = None
        while True:
            page = registry.list_artifacts(db, project, kind=kind, limit=500, cursor=cursor)
            found += [each.latest for each in page.items]
            cursor = page.next
            if cursor is None:
                break
    return found
