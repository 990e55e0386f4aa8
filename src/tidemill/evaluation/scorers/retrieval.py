"""Scorers of retrieval: the documents found, best first, against those that answer (`gold`).

`gold` is one document's id, a list of ids, or an object from id to gain (0 means not relevant). A document found through
several chunks counts once, at its best place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Score

_READS = frozenset({"retrieved", "gold"})
_NO_GOLD = "the sample has no gold document"


def gains_of(gold: Json) -> dict[str, float]:
    """The gain of every relevant document. Raises `Invalid` for what is no form of gold."""
    if gold is None:
        return {}
    if isinstance(gold, str):
        return {gold: 1.0} if gold else {}
    if isinstance(gold, Mapping):
        return {each: _gain(value, document=each) for each, value in gold.items() if _gain(value, document=each) > 0}
    if isinstance(gold, Sequence) and all(isinstance(each, str) for each in gold):
        return {str(each): 1.0 for each in gold if each}
    raise Invalid(f"gold is an id, a list of ids or an object from id to gain, not {gold!r}")


def _gain(value: Json, *, document: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(f"the gain of {document!r} is a number, not {value!r}")
    return float(value)


def ranking_of(retrieved: Json) -> list[str]:
    """The distinct documents found, best first."""
    if not isinstance(retrieved, Sequence) or isinstance(retrieved, str):
        return []
    return list(dict.fromkeys(str(each) for each in retrieved))


def _depth(k: object) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise Invalid(f"k is a whole number from 1, not {k!r}", where="k")


@dataclass(frozen=True, kw_only=True)
class RecallAtK:
    """The share of the relevant documents that are among the first `k` distinct documents found."""

    k: int = 10
    name: str = "recall_at_k"
    reads: frozenset[str] = _READS
    version: str = "1"
    binary: bool = False

    def __post_init__(self) -> None:
        _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains:
            return Score(metric=self.name, value=None, error=_NO_GOLD)
        found = set(ranking_of(fields.get("retrieved"))[: self.k])
        return Score(metric=self.name, value=len(found & gains.keys()) / len(gains))


@dataclass(frozen=True, kw_only=True)
class NdcgAtK:
    """Normalised discounted cumulative gain of the first `k`: gain / log2(rank + 1), over that of the best order possible.

    Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques" (TOIS), with linear gains and the
    discount from rank 1 on, as trec_eval's `ndcg_cut` computes it.
    """

    k: int = 10
    name: str = "ndcg_at_k"
    reads: frozenset[str] = _READS
    version: str = "1"
    binary: bool = False

    def __post_init__(self) -> None:
        _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains:
            return Score(metric=self.name, value=None, error=_NO_GOLD)
        found = [gains.get(each, 0.0) for each in ranking_of(fields.get("retrieved"))[: self.k]]
        best = sorted(gains.values(), reverse=True)[: self.k]
        return Score(metric=self.name, value=_discounted(found) / _discounted(best))


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


@dataclass(frozen=True, kw_only=True)
class MeanReciprocalRank:
    """1 / the rank of the first relevant document, 0 when none of the first `k` (all, by default) is relevant."""

    k: int | None = None
    name: str = "mrr"
    reads: frozenset[str] = _READS
    version: str = "1"
    binary: bool = False

    def __post_init__(self) -> None:
        if self.k is not None:
            _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains:
            return Score(metric=self.name, value=None, error=_NO_GOLD)
        ranking = ranking_of(fields.get("retrieved"))[: self.k]
        rank = next((rank for rank, each in enumerate(ranking, start=1) if each in gains), None)
        return Score(metric=self.name, value=1 / rank if rank else 0.0)
