"""Looking for models: words and facets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tidemill.models.catalogue import Catalogue, Entry
from tidemill.models.catalogue_merge import cheapest
from tidemill.models.catalogue_names import key_of, seller_of

_FACETS: Mapping[str, Callable[[Entry], Iterable[str]]] = {
    "provider": lambda each: each.sellers,
    "maker": lambda each: (each.maker,) if each.maker else (),
    "type": lambda each: (each.type,),
    "modality": lambda each: each.modalities,
    "feature": lambda each: each.features,
    "licence": lambda each: (each.verdict.word, each.verdict.licence) if each.verdict.licence else (each.verdict.word,),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to look for; all of it must hold. Words are found in any name of a model.

    `licence` is a verdict (`permissive`) or an identifier (`Apache-2.0`). `max_price` is in US dollars for a million input
    tokens: at the providers asked for, else at the model's maker, else the lowest. `min_context` is in tokens.
    """

    words: str = ""
    providers: frozenset[str] = frozenset()
    makers: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    licences: frozenset[str] = frozenset()
    max_price: float | None = None
    min_context: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The models that have all that was asked for, best first, and how many there are of each facet's values."""

    entries: Sequence[Entry]
    facets: Mapping[str, Mapping[str, int]]


def search(catalogue: Catalogue, wanted: Wanted) -> Found:
    """Look for models. An exact name comes first, then names that begin so, then the newest; without words, the newest."""
    words = wanted.words.lower().split()
    sellers = frozenset(map(seller_of, wanted.providers))
    entries = [each for each in catalogue.entries.values() if _fits(each, wanted, words, sellers)]
    key = key_of(wanted.words) if words else ""
    if key:
        entries.sort(key=lambda each: (each.key != key, not each.key.startswith(key)))
    facets = {name: _counts(entries, values_of) for name, values_of in _FACETS.items()}
    return Found(entries=entries, facets=facets)


def facet_names(catalogue: Catalogue, facet: str) -> frozenset[str]:
    """Every value of a facet that some model has."""
    return frozenset(value for each in catalogue.entries.values() for value in _FACETS[facet](each))


def _fits(entry: Entry, wanted: Wanted, words: Sequence[str], sellers: frozenset[str]) -> bool:
    return (
        all(each in entry.haystack for each in words)
        and (not sellers or not sellers.isdisjoint(entry.sellers))
        and (not wanted.makers or entry.maker in wanted.makers)
        and (not wanted.types or entry.type in wanted.types)
        and wanted.modalities <= entry.modalities
        and wanted.features <= entry.features
        and (not wanted.licences or not wanted.licences.isdisjoint((entry.verdict.word, entry.verdict.licence)))
        and (wanted.min_context is None or (entry.context or 0) >= wanted.min_context)
        and (wanted.max_price is None or _costs_at_most(entry, wanted.max_price, sellers))
    )


def _costs_at_most(entry: Entry, most: float, sellers: frozenset[str]) -> bool:
    """By the price at the sellers asked for, else by the one that is shown."""
    prices = [cheapest(entry.listings, seller=each) for each in sellers] if sellers else [entry.price]
    return any(each is not None and each[0] <= most for each in prices)


def _counts(entries: Sequence[Entry], values_of: Callable[[Entry], Iterable[str]]) -> Mapping[str, int]:
    counts = Counter(chain.from_iterable(map(values_of, entries)))
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
