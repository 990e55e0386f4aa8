"""Nothing is done twice: outputs of steps without effects, kept in the store by what they were made from."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError
from tidemill.core.json import Json
from tidemill.flows.results import ENGINE
from tidemill.store import cache
from tidemill.store.cache import CachedStep
from tidemill.store.database import Database


def step_key(digest: str, inputs: Json, *, variation: Sequence[Json] = ()) -> str:
    """What a step's output is kept under.

    It covers the step (sampling parameters included), the engine's semantics, the typed inputs, and
    what else makes another sample: replicate, epoch, a request's own parameters.
    """
    content = orjson.dumps([ENGINE, digest, inputs, list(variation)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()


class StepCache:
    """Reads and writes of many concurrent runs, gathered into few transactions. Belongs to one event loop."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._wanted: dict[str, dict[str, asyncio.Future[CachedStep | None]]] = {}
        self._kept: dict[str, dict[str, CachedStep]] = {}
        self._kept_done: list[asyncio.Future[None]] = []
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._epochs: dict[tuple[str, str], int] = {}
        self._fingerprints: dict[tuple[str, str], str] = {}

    async def get(self, project: str, key: str) -> CachedStep | None:
        """A step's output, or None when it is not known."""
        wanted = self._wanted.setdefault(project, {})
        future = wanted.get(key)
        if future is None:
            future = wanted[key] = asyncio.get_running_loop().create_future()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read())
        return await asyncio.shield(future)

    async def get_many(self, project: str, keys: Sequence[str]) -> Mapping[str, CachedStep]:
        """The outputs that are known, in one transaction."""
        return await self._database.read(lambda db: cache.get_steps(db, project, keys)) if keys else {}

    async def put(self, project: str, entries: Mapping[str, CachedStep]) -> None:
        """Keep outputs; returns when they are durable."""
        if not entries:
            return
        self._kept.setdefault(project, {}).update(entries)
        done = asyncio.get_running_loop().create_future()
        self._kept_done.append(done)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(done)

    def now_ns(self) -> int:
        """When an output is kept."""
        return self._clock.now_ns()

    async def epoch(self, project: str, model: str) -> int:
        """How often the model behind this key has changed under one name."""
        found = self._epochs.get((project, model))
        if found is None:
            found = await self._database.read(lambda db: cache.epoch(db, project, model))
            self._epochs.setdefault((project, model), found)
        return self._epochs[project, model]

    async def note_fingerprint(self, project: str, model: str, fingerprint: str | None) -> None:
        """Take note of what the provider reported; another fingerprint than before starts a new epoch."""
        at = (project, model)
        if fingerprint is None or self._fingerprints.get(at) == fingerprint:
            return
        note: Callable[[Connection], int] = lambda db: cache.note_fingerprint(db, project, model, fingerprint)  # noqa: E731  (typed)
        self._epochs[at] = await self._database.write(note)
        self._fingerprints[at] = fingerprint

    async def _read(self) -> None:
        while self._wanted:
            project, wanted = self._wanted.popitem()
            try:
                found = await self.get_many(project, list(wanted))
            except TidemillError as error:
                _fail(wanted.values(), error)
                continue
            except BaseException as error:
                _fail(wanted.values(), error)
                raise
            for key, future in wanted.items():
                if not future.done():
                    future.set_result(found.get(key))

    async def _write(self) -> None:
        while self._kept_done:
            kept, self._kept = self._kept, {}
            waiting, self._kept_done = self._kept_done, []
            try:
                await self._database.write(lambda db, kept=kept: _put_all(db, kept))
            except TidemillError as error:
                _fail(waiting, error)
                continue
            except BaseException as error:
                _fail(waiting, error)
                raise
            for future in waiting:
                if not future.done():
                    future.set_result(None)


def _put_all(db: Connection, kept: Mapping[str, Mapping[str, CachedStep]]) -> None:
    for project, entries in kept.items():
        cache.put_steps(db, project, entries)


def _fail(waiting: Iterable[asyncio.Future[Any]], error: BaseException) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(error)
            future.exception()  # a waiter that was cancelled does not come for it
