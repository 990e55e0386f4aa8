"""The cache of one server, put together."""

from __future__ import annotations

from tidemill.core.chat import Vectors
from tidemill.core.clock import Clock
from tidemill.core.records import Version
from tidemill.models.cache.answers import PATIENCE, KeptAnswers
from tidemill.models.cache.semantic import Meanings
from tidemill.models.cache.shelf import MOST_BYTES, Shelf
from tidemill.models.caller import Caller
from tidemill.models.calls import Call
from tidemill.models.service import Models
from tidemill.store.database import Database


def open_cache(
    *, models: Models, database: Database, clock: Clock, most_bytes: int = MOST_BYTES, patience: float = PATIENCE
) -> KeptAnswers:
    """Kept answers on the way of every call of `models`; a call of which no document says `cache` costs nothing more.

    `most_bytes` is what one project keeps at most, compressed; `patience` is in seconds.
    """

    async def embed(embedder: Version, text: str, call: Call) -> Vectors:
        caller = Caller.internal(call.caller.project, call.caller.environment, priority=call.caller.priority)
        return (await models.embed(embedder, [text], caller=caller)).vectors

    meanings = Meanings(database, clock=clock, embed=embed)
    shelf = Shelf(database, clock=clock, most_bytes=most_bytes)
    answers = KeptAnswers(database, shelf=shelf, clock=clock, meanings=meanings, patience=patience)
    models.cache = answers
    models.vectors = answers.vectors
    return answers
