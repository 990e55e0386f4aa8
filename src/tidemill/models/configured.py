"""The project's own models beside the catalogue: what the catalogue knows of them, and whether a search wants them."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.models.catalogue import Catalogue, Entry
from tidemill.models.catalogue_merge import cheapest
from tidemill.models.catalogue_names import seller_of
from tidemill.models.catalogue_search import Wanted
from tidemill.models.licences import Verdict, judge

_TYPES: Mapping[str, str] = {"model": "chat", "embedder": "embedding"}
_FREE = frozenset({"local", "test"})


def entry_of(version: Version, catalogue: Catalogue) -> Entry | None:
    """The catalogue's model that a version calls; None for a file of one's own, a test model, or one that no list knows."""
    model = version.spec.get("model")
    if version.spec.get("provider") == "test" or "file" in version.spec or not isinstance(model, str):
        return None
    return catalogue.find(model)


def verdict_of(version: Version, entry: Entry | None) -> Verdict:
    """What its licence allows: the licence that it was added with, else what the catalogue knows."""
    licence = version.tags.get("licence", "")
    return judge(licence) if licence or entry is None else entry.verdict


def price_of(version: Version, entry: Entry | None) -> tuple[float, float | None] | None:
    """US dollars for a million tokens of input and output, at the version's own provider."""
    provider = str(version.spec.get("provider"))
    if provider in _FREE:
        return 0.0, 0.0
    if entry is None:
        return None
    sellers = [seller_of(each) for each in (provider, str(version.spec.get("connection") or "")) if each]
    found = [cheapest(entry.listings, seller=each) for each in reversed(sellers)]
    return next((each for each in found if each is not None), None)


def own_summary(version: Version, catalogue: Catalogue) -> dict[str, Json]:
    """As `catalogue_card.summary`, of one of the project's own models."""
    entry = entry_of(version, catalogue)
    price = price_of(version, entry)
    context = version.tags.get("context")
    return {
        "title": version.description or (entry.title if entry else ""),
        "maker": entry.maker or None if entry else None,
        "type": entry.type if entry else _TYPES[version.kind],
        "configured": True,
        "catalogue": entry.name if entry else None,
        "providers": [str(version.spec.get("provider"))],
        "price": None if price is None else {"input": price[0], "output": price[1]},
        "context": int(context) if context and context.isdigit() else entry.context if entry else None,
        "output_limit": entry.values.get("output_limit") if entry else None,
        "modalities": sorted(entry.modalities) if entry else [],
        "features": sorted(entry.features) if entry else [],
        "licence": verdict_of(version, entry).to_json(),
        "released": entry.values.get("released") if entry else None,
    }


def is_wanted(version: Version, wanted: Wanted, catalogue: Catalogue) -> bool:
    """Whether one of the project's own models has all that is asked for."""
    entry = entry_of(version, catalogue)
    haystack = (
        f"{version.ref}\n{version.description.lower()}\n{version.spec.get('model')}\n{entry.haystack if entry else ''}".lower()
    )
    provider, verdict = str(version.spec.get("provider")), verdict_of(version, entry)
    price = price_of(version, entry)
    context = own_summary(version, catalogue)["context"]
    return (
        all(each in haystack for each in wanted.words.lower().split())
        and (not wanted.providers or not wanted.providers.isdisjoint((provider, str(version.spec.get("connection")))))
        and (not wanted.makers or (entry is not None and entry.maker in wanted.makers))
        and (not wanted.types or (entry.type if entry else _TYPES[version.kind]) in wanted.types)
        and wanted.modalities <= (entry.modalities if entry else frozenset())
        and wanted.features <= (entry.features if entry else frozenset())
        and (not wanted.licences or not wanted.licences.isdisjoint((verdict.word, verdict.licence)))
        and (wanted.max_price is None or (price is not None and price[0] <= wanted.max_price))
        and (wanted.min_context is None or (isinstance(context, int) and context >= wanted.min_context))
    )
