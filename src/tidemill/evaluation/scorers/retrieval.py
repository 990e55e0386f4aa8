"""Scorers of retrieval: the documents found, best first, against those that answer (`gold`).

`gold` is one document's id, a list of ids, or an object from id to gain (0 means not relevant). An item of the list may be a
list itself: documents that answer equally well, of which finding any one counts as finding the item. A document found through
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
_NO_SEARCH = "the application has no step that retrieves"


def gains_of(gold: Json) -> dict[str, float]:
    """The gain of every relevant document. Raises `Invalid` for what is no form of gold."""
    if gold is None:
        return {}
    if isinstance(gold, str):
        return {gold: 1.0} if gold else {}
    if isinstance(gold, Mapping):
        return {each: _gain(value, document=each) for each, value in gold.items() if _gain(value, document=each) > 0}
    if isinstance(gold, Sequence):
        return {group[0]: 1.0 for group in _groups(gold)}
    raise Invalid(f"gold is an id, a list of ids or an object from id to gain, not {gold!r}")


def _groups(gold: Sequence[Json]) -> list[list[str]]:
    """Each item of a list of gold as the documents that stand for it."""
    groups: list[list[str]] = []
    for item in gold:
        group = [item] if isinstance(item, str) else item
        if not isinstance(group, Sequence) or isinstance(group, str) or not all(isinstance(each, str) for each in group):
            raise Invalid(f"gold is an id, a list of ids or an object from id to gain, not {gold!r}")
        known = [str(each) for each in group if each]
        if known:
            groups.append(known)
    return groups


def _gain(value: Json, *, document: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(f"the gain of {document!r} is a number, not {value!r}")
    return float(value)


def ranking_of(retrieved: Json, gold: Json = None) -> list[str]:
    """The distinct documents found, best first; one that stands for another in `gold` goes under that one's name."""
    if not isinstance(retrieved, Sequence) or isinstance(retrieved, str):
        return []
    groups = _groups(gold) if isinstance(gold, Sequence) and not isinstance(gold, str) else []
    named = {each: group[0] for group in groups for each in group}
    return list(dict.fromkeys(named.get(str(each), str(each)) for each in retrieved))


def _depth(k: object) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise Invalid(f"k is a whole number from 1, not {k!r}", where="k")


@dataclass(frozen=True, kw_only=True)
class RecallAtK:
    """The share of the relevant documents that are among the first `k` distinct documents found."""

    k: int = 10
    name: str = "recall_at_k"
    reads: frozenset[str] = _READS
    version: str = "2"
    binary: bool = False

    def __post_init__(self) -> None:
        _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains or fields.get("retrieved") is None:
            return Score(metric=self.name, value=None, error=_NO_SEARCH if gains else _NO_GOLD)
        found = set(ranking_of(fields.get("retrieved"), fields.get("gold"))[: self.k])
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
    version: str = "2"
    binary: bool = False

    def __post_init__(self) -> None:
        _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains or fields.get("retrieved") is None:
            return Score(metric=self.name, value=None, error=_NO_SEARCH if gains else _NO_GOLD)
        found = [gains.get(each, 0.0) for each in ranking_of(fields.get("retrieved"), fields.get("gold"))[: self.k]]
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
    version: str = "2"
    binary: bool = False

    def __post_init__(self) -> None:
        if self.k is not None:
            _depth(self.k)

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `retrieved` against `gold`."""
        gains = gains_of(fields.get("gold"))
        if not gains or fields.get("retrieved") is None:
            return Score(metric=self.name, value=None, error=_NO_SEARCH if gains else _NO_GOLD)
        ranking = ranking_of(fields.get("retrieved"), fields.get("gold"))[: self.k]
        rank = next((rank for rank, each in enumerate(ranking, start=1) if each in gains), None)
        return Score(metric=self.name, value=1 / rank if rank else 0.0)
