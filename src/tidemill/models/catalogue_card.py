"""A model's card: what it is, its limits and prices, what may be done with it, who says so, and how to use it in a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tidemill.core.json import Json
from tidemill.models.catalogue import Catalogue, Entry
from tidemill.models.catalogue_listing import Offer
from tidemill.models.catalogue_merge import RULE
from tidemill.models.catalogue_names import is_own_seller, seller_of
from tidemill.models.providers.vendors import BASE_URLS

_SPOKEN = ("anthropic", "openai", "local")
_KINDS: Mapping[str, str] = {"chat": "model", "embedding": "embedder"}
_NOT_A_NAME = re.compile(r"[^a-z0-9._-]+")


def summary(entry: Entry) -> dict[str, Json]:
    """A model as a list shows it. `price` is its maker's, else the lowest, in US dollars for a million tokens."""
    price = None if entry.price is None else {"input": entry.price[0], "output": entry.price[1]}
    return {
        "name": entry.name,
        "title": entry.title,
        "maker": entry.maker or None,
        "type": entry.type,
        "configured": False,
        "providers": sorted(entry.sellers),
        "price": price,
        "context": entry.context,
        "output_limit": entry.values.get("output_limit"),
        "modalities": sorted(entry.modalities),
        "features": sorted(entry.features),
        "licence": entry.verdict.to_json(),
        "released": entry.values.get("released"),
    }


def card(entry: Entry, catalogue: Catalogue, *, urls: Mapping[str, str], seller: str | None = None) -> dict[str, Json]:
    """The whole card. `urls` are base URLs of sellers; `seller` is whom to use it from, else its maker, else the cheapest."""
    offers = entry.offers
    return {
        **summary(entry),
        "names": list(entry.names),
        "facts": {name: fact.to_json() for name, fact in entry.facts.items()},
        "offers": [_offer_json(each) for each in offers if each.seller],
        "sources": sources(catalogue, names={each.source.name for each in entry.listings}),
        "rule": RULE,
        "use": usage(entry, offers, urls={**BASE_URLS, **urls}, seller=seller),
    }


def sources(catalogue: Catalogue, *, names: set[str] | None = None) -> list[Json]:
    """The lists behind the catalogue, or those of these names."""
    return [
        {"name": each.name, "origin": each.origin, "date": each.date or None, "note": each.note or None}
        for each in catalogue.sources
        if names is None or each.name in names
    ]


def usage(entry: Entry, offers: Sequence[Offer], *, urls: Mapping[str, str], seller: str | None = None) -> str | None:
    """The YAML that makes it one of the project's models; None when nothing here can call it."""
    kind = _KINDS.get(entry.type)
    wanted = None if seller is None else seller_of(seller)
    usable = [each for each in offers if each.seller in {*_SPOKEN, *urls} and wanted in {None, each.seller}]
    if kind is None or not usable:
        return None
    chosen = min(usable, key=lambda each: (each.seller != "local", not is_own_seller(each.seller, entry.maker)))
    name = _NOT_A_NAME.sub("-", entry.name).strip("-._")[:128]
    lines = [f"kind: {kind}", f"name: {name}"]
    if chosen.seller in _SPOKEN:
        return "\n".join([*lines, f"provider: {chosen.seller}", f"model: {chosen.id}"])
    secret = re.sub(r"[^A-Z0-9]+", "_", chosen.seller.upper())
    return "\n".join(
        [
            *lines, "provider: openai", f"model: {_scalar(chosen.id)}", f"connection: {chosen.seller}", "---",
            "kind: connection", f"name: {chosen.seller}", "provider: openai", f"base_url: {urls[chosen.seller]}",
            f"api_key: env:{secret}_API_KEY",
        ]
    )  # fmt: skip


def _scalar(text: str) -> str:
    """Quoted where YAML would read more than a word."""
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", text) else f'"{text}"'


def _offer_json(offer: Offer) -> dict[str, Json]:
    return {
        "provider": offer.seller,
        "model": offer.id,
        "prices": {name.removesuffix("_price"): fact.to_json() for name, fact in offer.prices.items()},
    }
