"""Vectors of queries: asked for once while they are remembered, each request a span of its own."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tidemill.core.records import Version
from tidemill.data.vectors import pack_rows
from tidemill.models.caller import Caller
from tidemill.models.service import Models
from tidemill.telemetry import Span

if TYPE_CHECKING:
    from tidemill.data.rank import Scores

REMEMBERED = 4096


class QueryVectors:
    """The last few thousand queries' vectors, in memory."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: OrderedDict[tuple[str, str, str, str], Scores] = OrderedDict()

    def knows(self, query: str, *, embedder: Version, project: str, environment: str) -> bool:
        """Whether the query's vector is remembered."""
        return (project, environment, embedder.digest, query) in self._known

    async def get(self, query: str, *, embedder: Version, caller: Caller, span: Span | None) -> tuple[Scores, bool]:
        """The query's vector, of length 1, and whether the embedder was asked, which is then a span below `span`."""
        key = (caller.project, caller.environment, embedder.digest, query)
        known = self._known.get(key)
        is_new = known is None
        if known is None:
            with nullcontext() if span is None else span.child("embed", kind="embedding", input=query) as inner:
                response = await self._models.embed(embedder, [query], caller=caller, span=inner)
            known = pack_rows([response.vectors.row(0)])[0]
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known, is_new
