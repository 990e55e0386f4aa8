"""Vectors of texts that were embedded before, each text by itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from tidemill.core.clock import Clock
from tidemill.core.digests import canonical
from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.json import Json
from tidemill.models.cache.behind import Behind
from tidemill.models.cache.policy import CachePolicy, scope_of
from tidemill.models.calls import Call
from tidemill.store.database import Database
from tidemill.store.kept_answers import KeptAnswer, get_answers, put_answers

PolicyOf: TypeAlias = Callable[[Call], Awaitable[CachePolicy | None]]

_FORM: Final = 1
_NS: Final = 10**9
_MOST_PENDING: Final = 10_000
_log = logging.getLogger(__name__)


class KeptVectors:
    """A `VectorCache`. Belongs to one event loop. `policy_of` says what of a call is kept."""

    def __init__(self, database: Database, *, clock: Clock, policy_of: PolicyOf) -> None:
        self._database = database
        self._clock = clock
        self._policy_of = policy_of
        self._behind: Behind[KeptAnswer] = Behind(self._write, what="vectors", most=_MOST_PENDING)

    async def look(self, call: Call, *, dimensions: int | None) -> _Texts | None:
        """What is kept of the call's texts."""
        control = call.caller.cache
        call.notes["x-tidemill-cache"] = "off"
        policy = await self._policy_of(call) if control.read or control.write else None
        if policy is None or not call.texts:
            if control.only:
                raise _nothing_kept()
            return None
        call.notes["x-tidemill-cache"] = "miss"
        keys = _keys(call, policy, dimensions)
        known = await self._known(call, keys) if control.read else {}
        if len(known) == len(keys):
            call.notes["x-tidemill-cache"] = "hit"
            call.notes["x-tidemill-cache-by"] = "exact"
        elif control.only:
            raise _nothing_kept()
        ttl = policy.ttl if control.ttl is None else min(control.ttl, policy.ttl)
        return _Texts(self, call, keys, known, ttl_ns=int(ttl * _NS) if control.write else 0)

    def put(self, rows: Sequence[KeptAnswer]) -> None:
        """Keep them: they are found at once, and written soon. Too many at once are not kept."""
        self._behind.put({(each.project, each.key): each for each in rows})

    @property
    def now_ns(self) -> int:
        """The time, by the clock that ages go by."""
        return self._clock.now_ns()

    async def flush(self) -> None:
        """Wait until what was put is written."""
        await self._behind.flush()

    async def _known(self, call: Call, keys: Sequence[str]) -> dict[int, KeptAnswer]:
        """What is kept, by the place of the text; where the database does not answer there is nothing."""
        project, now_ns, most = call.caller.project, self._clock.now_ns(), call.caller.cache.max_age
        pending = {key: found for key in keys if (found := self._behind.get((project, key))) is not None}
        rest = [key for key in keys if key not in pending]
        kept: Mapping[str, KeptAnswer] = {}
        try:
            if rest:
                kept = await self._database.read(lambda db: get_answers(db, project, rest, now_ns=now_ns))
        except TidemillError as error:
            _log.warning("kept vectors cannot be read: %s", error)
        found = {**kept, **pending}
        return {place: found[key] for place, key in enumerate(keys) if key in found and _is_fresh(found[key], now_ns, most)}

    async def _write(self, rows: Sequence[KeptAnswer]) -> None:
        await self._database.tally(lambda db: put_answers(db, rows))


class _Texts:
    """The texts of one call."""

    __slots__ = ("_call", "_kept", "_keys", "_ttl_ns", "found", "saved")

    def __init__(
        self, kept: KeptVectors, call: Call, keys: Sequence[str], known: Mapping[int, KeptAnswer], *, ttl_ns: int
    ) -> None:
        self._kept = kept
        self._call = call
        self._keys = keys
        self._ttl_ns = ttl_ns
        self.found: Mapping[int, bytes] = {place: each.body for place, each in known.items()}
        priced = [each.cost for each in known.values() if each.cost is not None]
        self.saved: float | None = sum(priced) if priced else None

    def put(self, vectors: Mapping[int, bytes], *, cost: float | None) -> None:
        """Keep vectors by the place of their text. Of what they cost each has its part, by the length of the text."""
        if self._ttl_ns <= 0:
            return
        call, now_ns = self._call, self._kept.now_ns
        caller, span = call.caller, call.span
        length = sum(len(call.texts[place]) for place in vectors) or 1
        self._kept.put(
            [
                KeptAnswer(
                    project=caller.project, key=self._keys[place], body=vector,
                    cost=None if cost is None else cost * len(call.texts[place]) / length,
                    created_ns=now_ns, expires_ns=now_ns + self._ttl_ns, user=caller.user, session=caller.session,
                    trace=span.trace_id,
                )
                for place, vector in vectors.items()
            ]
        )  # fmt: skip


def _keys(call: Call, policy: CachePolicy, dimensions: int | None) -> list[str]:
    """The digest of each text with what else makes its vector, and whose it is."""
    caller = call.caller
    head: dict[str, Json] = {
        "form": _FORM, "operation": call.operation, "model": call.model.digest, "environment": caller.environment,
        "scope": scope_of(caller, policy.share), "dimensions": dimensions, "namespace": caller.cache.namespace,
    }  # fmt: skip
    begun = sha256(canonical(head))
    keys: list[str] = []
    for text in call.texts:
        each = begun.copy()
        each.update(text.encode("utf-8", "surrogatepass"))
        keys.append(each.hexdigest())
    return keys


def _is_fresh(kept: KeptAnswer, now_ns: int, most: float | None) -> bool:
    """Whether its time is not over, and it is at most so many seconds old."""
    return kept.expires_ns > now_ns and (most is None or now_ns - kept.created_ns <= most * _NS)


def _nothing_kept() -> NotFound:
    return NotFound("there is no kept vector of every text", hint="Leave only-if-cached out to have them embedded.")
