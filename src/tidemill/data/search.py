"""Searching one index that is in memory: by vector, by words, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.core.json import JsonObject
from tidemill.core.records import Chunk, Hit
from tidemill.data.filters import Fields
from tidemill.data.fuse import fuse
from tidemill.data.providers.bm25 import Bm25
from tidemill.data.rank import best
from tidemill.data.vectors import VectorSearch

if TYPE_CHECKING:
    from tidemill.data.rank import Mask, Scores

CANDIDATES = 100
"""How far down each ranking fusion looks, at least."""


class Hits(tuple[Hit, ...]):  # noqa: SLOT001  (a tuple can hold a field of its own only without slots)
    """What one search found, best first. `embedded` is how many texts had to be embedded for it.

    `remembered` says that the query's vector was known from before, so that the search took less time than a first one.
    """

    embedded: int = 0
    remembered: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadedIndex:
    """An index in memory. `vectors` is None for one without an embedder."""

    chunks: Sequence[Chunk]
    fields: Fields
    text: Bm25
    vectors: VectorSearch | None

    def search(self, query: str, *, vector: Scores | None, by_text: bool, k: int, filter: JsonObject | None) -> list[Hit]:  # noqa: A002  (the retrieve step's key)
        """The best `k` chunks among those the filter lets through: by `vector` when given, by words with `by_text`.

        Both are fused by reciprocal rank. Equal scores stand in the chunks' order.
        """
        mask = self.fields.mask(filter) if filter else None
        allowed = len(self.chunks) if mask is None else int(mask.sum())
        if not allowed:
            return []
        hybrid = vector is not None and by_text
        depth = min(max(CANDIDATES, 4 * k) if hybrid else k, allowed)
        rankings: list[list[tuple[int, float]]] = []
        if vector is not None and self.vectors is not None:
            rankings.append(self.vectors.search(vector, k=depth, mask=mask))
        if by_text:
            rankings.append(self._by_text(query, k=depth, mask=mask))
        found = fuse([[place for place, _ in each] for each in rankings]) if hybrid else rankings[0]
        return [Hit(chunk=self.chunks[place], score=score, rank=rank) for rank, (place, score) in enumerate(found[:k], 1)]

    def _by_text(self, query: str, *, k: int, mask: Mask | None) -> list[tuple[int, float]]:
        import numpy as np  # noqa: PLC0415  (heavy)

        scores = self.text.scores(query)
        if scores is None:
            return []
        matching = scores > 0
        places = np.flatnonzero(matching if mask is None else matching & mask)
        return best(scores[places], places, k=k)
