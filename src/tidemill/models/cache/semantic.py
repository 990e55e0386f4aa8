"""Answers to questions of the same meaning: the nearest question that was asked in the same context, if it is near enough."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tidemill.core.chat import Vectors
from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.cache.policy import Semantic
from tidemill.models.calls import Call
from tidemill.store import registry
from tidemill.store.database import Database
from tidemill.store.kept_answers import vectors_in

if TYPE_CHECKING:
    import numpy as np

Embed: TypeAlias = Callable[[Version, str, Call], Awaitable[Vectors]]
"""(embedder, text, for which call) to one vector."""

_CONTEXTS: Final = 256
_QUESTIONS: Final = 2000
_FRESH: Final = 10.0  # seconds until what other processes kept, or erased, is looked up again
_PATIENCE: Final = 2.0  # seconds for an embedding
_REST: Final = 10.0  # seconds that an embedder which failed is left alone
_log = logging.getLogger(__name__)


class _Known(msgspec.Struct, kw_only=True):
    keys: list[str]
    vectors: list[bytes]
    at: float


class Meanings:
    """A small index of each context's questions, in memory, read anew from the database every ten seconds of use."""

    def __init__(self, database: Database, *, clock: Clock, embed: Embed) -> None:
        self._database = database
        self._clock = clock
        self._embed = embed
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._resting: dict[tuple[str, str], float] = {}

    async def vector(self, call: Call, semantic: Semantic, question: str) -> bytes | None:
        """The embedding of a question, of length 1; None where it cannot be had in time, which fails no request."""
        place = (call.caller.project, semantic.embedder)
        if self._resting.get(place, 0.0) > self._clock.monotonic():
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                embedder = await self._embedder(call, semantic.embedder)
                return _unit(await self._embed(embedder, question, call))
        except (TidemillError, TimeoutError) as error:
            self._resting[place] = self._clock.monotonic() + _REST
            _log.warning("a question could not be compared by its meaning: %s", error or "the embedder took too long")
            return None

    async def nearest(self, project: str, context: str, vector: bytes, *, threshold: float) -> str | None:
        """The key of the nearest question in a context that is near enough."""
        known = await self._questions(project, context)
        if not known.keys:
            return None
        found = nearest(vector, known.vectors)
        return None if found is None or found[1] < threshold else known.keys[found[0]]

    def add(self, project: str, context: str, key: str, vector: bytes) -> None:
        """A question that was just answered."""
        known = self._known.get((project, context))
        if known is not None and key not in known.keys:
            known.keys.append(key)
            known.vectors.append(vector)

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()

    async def _questions(self, project: str, context: str) -> _Known:
        now = self._clock.monotonic()
        known = self._known.get((project, context))
        if known is None or now - known.at > _FRESH:
            now_ns = self._clock.now_ns()
            rows = await self._database.read(
                lambda db: vectors_in(db, project, context, now_ns=now_ns, limit=_QUESTIONS)
            )  # fmt: skip
            known = _Known(keys=[row[0] for row in rows], vectors=[row[1] for row in rows], at=now)
            self._known[(project, context)] = known
            if len(self._known) > _CONTEXTS:
                self._known.popitem(last=False)
        return known

    async def _embedder(self, call: Call, name: str) -> Version:
        """The embedder that the model was locked to, else the newest."""
        ref, project = parse_ref(name, kind="embedder"), call.caller.project
        digest = call.model.refs.get(name) or call.model.refs.get(ref.bare)
        wanted = ref if digest is None else ref.at(digest)
        key = ("version", project, str(wanted))
        return await self._database.remember(key, lambda db: registry.get_version(db, project, wanted))


def nearest(vector: bytes, others: list[bytes]) -> tuple[int, float] | None:
    """Place and cosine of the nearest of `others`, all of length 1; None where none has as many dimensions."""
    import numpy as np  # noqa: PLC0415  (a tenth of a second, which only this needs)

    alike = [place for place, each in enumerate(others) if len(each) == len(vector)]
    if not alike:
        return None
    matrix: np.ndarray = np.frombuffer(b"".join(others[place] for place in alike), dtype="<f4").reshape(len(alike), -1)
    cosines = matrix @ np.frombuffer(vector, dtype="<f4")
    best = int(np.argmax(cosines))
    return alike[best], float(cosines[best])


def _unit(vectors: Vectors) -> bytes | None:
    import numpy as np  # noqa: PLC0415  (as above)

    row = np.frombuffer(vectors.row(0), dtype="<f4")
    length = float(np.linalg.norm(row))
    return (row / length).astype("<f4").tobytes() if length > 0 else None
