"""The cache on the way of every call: what was answered before, else who asks and who waits."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import Connection

from tidemill.core.chat import ChatResponse
from tidemill.core.clock import Clock
from tidemill.core.errors import DeadlineExceeded, NotFound, TidemillError
from tidemill.models.cache.flight import Flights
from tidemill.models.cache.key import Key, key_of
from tidemill.models.cache.policy import CachePolicy, policy_of
from tidemill.models.cache.semantic import Meanings
from tidemill.models.cache.shelf import Entry, Shelf
from tidemill.models.cache.texts import KeptVectors
from tidemill.models.caller import CacheControl
from tidemill.models.calls import Call, Hit, Slot
from tidemill.models.stream import ChatResult
from tidemill.store import config
from tidemill.store.database import Database

_NOTE: Final = "x-tidemill-cache"
_OPERATIONS: Final = ("chat", "completions")
_WHOLE: Final = ("stop", "length", "tool_calls")
_NS: Final = 10**9
_POLICIES: Final = 1024
_SKEW: Final = 60.0  # seconds by which the clocks of several servers may differ
PATIENCE: Final = 30.0
"""Seconds that an identical request waits for the first."""
_log = logging.getLogger(__name__)
_By = Literal["exact", "semantic", "flight"]
_Landed = tuple[Entry, _By]


class KeptAnswers:
    """A `Cache`. Belongs to one event loop. `patience` is in seconds; without `meanings` nothing is found by its meaning."""

    def __init__(
        self, database: Database, *, shelf: Shelf, clock: Clock, meanings: Meanings | None = None, patience: float = PATIENCE
    ) -> None:
        self.shelf = shelf
        self.meanings = meanings
        self.vectors = KeptVectors(database, clock=clock, policy_of=self.policy)
        self._database = database
        self._clock = clock
        self._patience = patience
        self.flights: Flights[_Landed] = Flights()
        self._policies: OrderedDict[str, CachePolicy | None] = OrderedDict()

    async def look(self, call: Call) -> Hit | Slot | None:
        """A kept answer, or that of the same request under way; else where to put this one."""
        control, request = call.caller.cache, call.request
        call.notes[_NOTE] = "off"
        policy = await self.policy(call) if call.operation in _OPERATIONS and request is not None else None
        key = None
        if policy is not None and request is not None and (control.read or control.write):
            meant = policy.semantic is not None and self.meanings is not None and control.semantic is not False
            key = key_of(call, request, share=policy.share, with_context=meant)
        if policy is None or key is None:
            if control.only:
                raise _nothing_kept()
            return None
        call.notes[_NOTE] = "miss"
        if not control.read:
            return _Slot(self, call, key, policy)
        return await self._wait_or_search(call, key, policy)

    @property
    def now_ns(self) -> int:
        """The time, by the clock that ages go by."""
        return self._clock.now_ns()

    async def flush(self) -> None:
        """Write what is on its way, and read anew what is remembered: somebody is erased."""
        await self.shelf.flush()
        await self.vectors.flush()
        if self.meanings is not None:
            self.meanings.forget()

    async def look_after(self) -> Sequence[str]:
        """Drop what is too old or too much, for `Schedules.also`; starts nothing."""
        await self.shelf.purge()
        return ()

    async def close(self) -> None:
        """Write what is on its way."""
        await self.shelf.flush()
        await self.vectors.flush()

    async def _wait_or_search(self, call: Call, key: Key, policy: CachePolicy) -> Hit | Slot | None:
        control, place = call.caller.cache, (call.caller.project, key.exact)
        if not self.flights.lead(place):
            landed = await self.flights.wait(place, patience=self._patience)
            if not isinstance(landed, str):  # who is tired of waiting asks, and lands what is under way for all
                entry, by = landed[0]
                return self._hit(call, entry, by) if self._is_fresh(entry, control) else self._slot(call, key, policy)
        vector: bytes | None = None
        try:
            found = await self._kept(call, key.exact)
            if found is None and key.context is not None and policy.semantic is not None and self.meanings is not None:
                vector = await self.meanings.vector(call, policy.semantic, key.question)
                found = await self._meant(call, key.context, vector, policy.semantic.threshold)
        except BaseException:
            self.flights.hand_over(place)
            raise
        if found is not None:
            self.flights.land(place, found)
            return self._hit(call, *found)
        if control.only or not control.write:
            self.flights.hand_over(place)
            if control.only:
                raise _nothing_kept()
            return None
        return _Slot(self, call, key, policy, flights=self.flights, vector=vector)

    def _slot(self, call: Call, key: Key, policy: CachePolicy) -> Slot | None:
        """A place beside the flight, for one that others do not wait for."""
        if call.caller.cache.only:
            raise _nothing_kept()
        return _Slot(self, call, key, policy) if call.caller.cache.write else None

    async def _kept(self, call: Call, key: str) -> _Landed | None:
        """What is kept under a key; where the database does not answer there is nothing."""
        try:
            entry = await self.shelf.get(call.caller.project, key)
        except TidemillError as error:
            _log.warning("kept answers cannot be read: %s", error)
            return None
        return None if entry is None or not self._is_fresh(entry, call.caller.cache) else (entry, "exact")

    async def _meant(self, call: Call, context: str, vector: bytes | None, threshold: float) -> _Landed | None:
        if vector is None or self.meanings is None:
            return None
        try:
            key = await self.meanings.nearest(call.caller.project, context, vector, threshold=threshold)
        except TidemillError as error:
            _log.warning("kept answers cannot be compared: %s", error)
            return None
        found = None if key is None else await self._kept(call, key)
        return None if found is None else (found[0], "semantic")

    def _is_fresh(self, entry: Entry, control: CacheControl) -> bool:
        age = self._clock.now_ns() - entry.created_ns
        if age < -_SKEW * _NS:  # the clock was set back since: how old it is cannot be told
            return False
        return control.max_age is None or age <= control.max_age * _NS

    def _hit(self, call: Call, entry: Entry, by: _By) -> Hit:
        age = max(0.0, (self._clock.now_ns() - entry.created_ns) / _NS)
        call.notes["age"] = str(int(age))
        return Hit(response=entry.response, age=age, saved=entry.cost, by=by)

    async def policy(self, call: Call) -> CachePolicy | None:
        """What the endpoint says that was asked, else what the model says."""
        caller = call.caller
        if caller.endpoint is not None:
            project, environment, name = caller.project, caller.environment, caller.endpoint
            place = ("cache", project, environment, name)
            found = await self._database.remember(place, lambda db: _endpoint(db, project, environment, name))
            if found is not None:
                return found[0]
        spec = call.model.spec.get("cache")
        if spec is None:
            return None
        digest = call.model.digest
        if digest not in self._policies:
            self._policies[digest] = policy_of(spec)
            if len(self._policies) > _POLICIES:
                self._policies.popitem(last=False)
        return self._policies[digest]


class _Slot:
    """Where one answer is put."""

    __slots__ = ("_answers", "_call", "_flights", "_key", "_policy", "_vector")

    def __init__(
        self,
        answers: KeptAnswers,
        call: Call,
        key: Key,
        policy: CachePolicy,
        *,
        flights: Flights[_Landed] | None = None,
        vector: bytes | None = None,
    ) -> None:
        self._answers = answers
        self._call = call
        self._key = key
        self._policy = policy
        self._flights = flights
        self._vector = vector

    def put(self, result: ChatResult) -> None:
        """Keep a whole answer, and give it to those who wait."""
        caller, key = self._call.caller, self._key
        now_ns = self._answers.now_ns
        ttl = self._policy.ttl if caller.cache.ttl is None else min(caller.cache.ttl, self._policy.ttl)
        entry = Entry(
            project=caller.project, key=key.exact, response=result.response, cost=result.cost, created_ns=now_ns,
            expires_ns=now_ns + int(ttl * _NS), context=None if self._vector is None else key.context, vector=self._vector,
            user=caller.user, session=caller.session, trace=self._call.span.trace_id,
        )  # fmt: skip
        if ttl > 0 and _is_kept(result.response):
            self._answers.shelf.put(entry)
            if self._vector is not None and key.context is not None and self._answers.meanings is not None:
                self._answers.meanings.add(caller.project, key.context, key.exact, self._vector)
        if self._flights is not None:
            self._flights.land((caller.project, key.exact), (entry, "flight"))

    def drop(self, error: TidemillError | None) -> None:
        """The others get the error where it would be theirs, too; else the next of them asks."""
        if self._flights is None:
            return
        place = (self._call.caller.project, self._key.exact)
        if error is None or isinstance(error, DeadlineExceeded):
            self._flights.hand_over(place)
        else:
            self._flights.fail(place, error)


def _is_kept(response: ChatResponse) -> bool:
    """What a filter stopped, or what is empty, is asked again."""
    ends = (response.finish_reason, *(each.finish_reason for each in response.others))
    return bool(response.message.parts) and all(each in _WHOLE for each in ends)


def _nothing_kept() -> NotFound:
    return NotFound("there is no kept answer to this request", hint="Leave only-if-cached out to have it answered.")


def _endpoint(db: Connection, project: str, environment: str, name: str) -> tuple[CachePolicy | None] | None:
    """What an endpoint's document says; None where it says nothing."""
    try:
        spec = config.get_config(db, project, "endpoint", name, environment).spec
    except NotFound:
        return None
    return (policy_of(spec["cache"]),) if "cache" in spec else None
