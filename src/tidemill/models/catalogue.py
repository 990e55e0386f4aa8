"""The catalogue: every model that the installed lists know, each once, with what they say of it and where they differ.

Nothing is asked of a network. `load_catalogue` reads the lists once a process; it takes a second or two, off the event loop.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tidemill.core.errors import NotFound
from tidemill.core.json import Json
from tidemill.core.suggest import nearest
from tidemill.models.catalogue_listing import FEATURES, Fact, Listing, Offer, Source
from tidemill.models.catalogue_merge import cheapest, facts_of, in_order, offers_of, winners
from tidemill.models.catalogue_names import is_own_seller, joined_key, key_of
from tidemill.models.licences import Verdict, judge, licence_of_name

_OWN = Source(name="tidemill", origin="tidemill", rank=8, note="as published with the weights")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One model. `listings` are what the lists say of it, the newest first; the rest is what came out of them.

    `price` is of a million tokens of input and output, in US dollars: its maker's, else the lowest. `haystack` is what a search
    looks in: every name that it has anywhere.
    """

    key: str
    name: str
    title: str
    maker: str
    type: str
    listings: tuple[Listing, ...]
    values: Mapping[str, Json]
    price: tuple[float, float | None] | None
    sellers: frozenset[str]
    modalities: frozenset[str]
    features: frozenset[str]
    verdict: Verdict
    haystack: str

    @property
    def context(self) -> int | None:
        """The context in tokens, None when no list says."""
        return cast("int | None", self.values.get("context"))

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The model at each seller, the cheapest first."""
        return offers_of(self.listings)

    @property
    def facts(self) -> Mapping[str, Fact]:
        """Each field with every claim about it."""
        return facts_of(self.listings, maker=self.maker)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that some list has for it, sorted."""
        return tuple(sorted({name for each in self.listings for name in (each.id, *each.aliases)}))


class Catalogue:
    """Every model once, by key, the newest first. Never changes."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        groups: defaultdict[str, list[Listing]] = defaultdict(list)
        makers: dict[str, str] = {}
        for each in listings:
            key, maker = joined_key(each.id, each.seller)
            groups[key].append(each)
            makers[key] = makers.get(key) or maker
        entries = sorted((_entry(key, makers[key], rows) for key, rows in groups.items()), key=lambda each: each.name)
        entries.sort(key=lambda each: str(each.values.get("released") or ""), reverse=True)
        self.entries: Mapping[str, Entry] = {each.key: each for each in entries}
        self.sources: tuple[Source, ...] = tuple(
            sorted({each.source for rows in groups.values() for each in rows}, key=lambda each: each.rank)
        )

    def find(self, name: str) -> Entry | None:
        """The model of this name, whichever list has it so; None when none does."""
        for key in (name.strip().lower(), key_of(name), joined_key(name, name.partition("/")[0].lower())[0]):
            if key in self.entries:
                return self.entries[key]
        return self._by_alias.get(name.strip().lower())

    def get(self, name: str) -> Entry:
        """The same; raises `NotFound` with the nearest name."""
        found = self.find(name)
        if found is not None:
            return found
        near = nearest(key_of(name), self.entries)
        hint = f"Did you mean {self.entries[near].name}?" if near else "Look for it: tidemill models list --q WORDS"
        raise NotFound(f"the catalogue has no model {name!r}", hint=hint)

    @functools.cached_property
    def _by_alias(self) -> Mapping[str, Entry]:
        return {alias.lower(): entry for entry in self.entries.values() for row in entry.listings for alias in row.aliases}


@functools.cache
def load_catalogue() -> Catalogue:
    """The catalogue of every list that is installed. Blocking; the same object every time."""
    from tidemill.models.providers import litellm_list, local_list, models_dev_list, price_list  # noqa: PLC0415  (read when first asked)

    now = dt.datetime.now(dt.UTC)
    return Catalogue([*price_list.read(now), *models_dev_list.read(), *litellm_list.read(), *local_list.read()])


def _entry(key: str, maker: str, rows: Sequence[Listing]) -> Entry:
    licence = licence_of_name(key.rpartition("/")[2])
    if licence:
        rows = [*rows, Listing(source=_OWN, seller="", id=rows[0].id, facts={"licence": licence})]
    listings = in_order(rows)
    values = winners(listings, maker=maker)
    said = {str(each.facts["open_weights"]) for each in listings if "open_weights" in each.facts}
    verdict = judge(str(values.get("licence") or ""), closed=said == {"False"})
    sold = [each for each in listings if each.seller]
    names = {name.lower() for each in sold for name in (each.id, *each.aliases)}
    title = next((each.title for each in sold if each.title and is_own_seller(each.seller, maker)), "")
    return Entry(
        key=key,
        name=_name(key, maker, sold),
        title=title or next((each.title for each in sold if each.title), ""),
        maker=maker,
        type=_type(values),
        listings=listings,
        values=values,
        price=_price(sold, maker),
        sellers=frozenset(each.seller for each in sold),
        modalities=_modalities(values),
        features=frozenset(each for each in FEATURES if values.get(each) is True),
        verdict=verdict,
        haystack="\n".join((key, title.lower(), maker, *sorted(names))),
    )


def _price(sold: Sequence[Listing], maker: str) -> tuple[float, float | None] | None:
    """The maker's; where it takes none, the lowest."""
    own = cheapest(each for each in sold if is_own_seller(each.seller, maker))
    return own if own is not None and own[0] > 0 else cheapest(sold)


def _name(key: str, maker: str, listings: Sequence[Listing]) -> str:
    """What the maker calls it, without an organisation before it; the key where that would name another model."""
    own = [each.id for each in listings if is_own_seller(each.seller, maker)] or [each.id for each in listings]
    best = min(own, key=lambda each: (len(each), each)).rpartition("/")[2].lower()
    return best if key_of(best) == key else key


def _type(values: Mapping[str, Json]) -> str:
    """What it does: as a list says, else by what comes out."""
    if values.get("type"):
        return str(values["type"])
    outputs = cast("Sequence[str]", values.get("outputs") or ("text",))
    return "chat" if "text" in outputs else outputs[0]


def _modalities(values: Mapping[str, Json]) -> frozenset[str]:
    """`image` for what goes in, `to-image` for what comes out."""
    inputs, outputs = (cast("Sequence[str]", values.get(each) or ()) for each in ("inputs", "outputs"))
    return frozenset((*inputs, *(f"to-{each}" for each in outputs)))
