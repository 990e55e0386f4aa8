"""What one list says of one model at one seller, and what many of them together say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemill.core.json import Json

PRICES = ("input_price", "output_price", "cached_price", "cache_write_price")
"""US dollars for a million tokens."""

FIELDS = (
    "context",
    "output_limit",
    "inputs",
    "outputs",
    "dimensions",
    "open_weights",
    "licence",
    "released",
    "retires",
    "type",
)
"""What is said of a model besides prices: limits in tokens, kinds of content, dates as `YYYY-MM-DD`."""

FEATURES = (
    "tools", "parallel_tools", "json_schema", "reasoning", "prompt_caching", "web_search", "computer_use", "temperature",
    "system_prompt", "attachments",
)  # fmt: skip
"""Abilities, each true or false; what a list does not say is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A list of models: its name, where it is from, the day that it is of (empty when it does not say), and its rank.

    `rank` decides between claims of one date: the smaller wins. `note` says how the date is known.
    """

    name: str
    origin: str
    date: str = ""
    rank: int = 9
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One row of a list. `id` is what the seller calls the model; `facts` holds what the row says, and nothing else."""

    source: Source
    seller: str
    id: str
    facts: Mapping[str, Json]
    title: str = ""
    date: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def as_of(self) -> str:
        """The day that the row is of, else that of its list."""
        return self.date or self.source.date


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """That a list says a value."""

    value: Json
    source: str
    date: str
    seller: str = ""

    def to_json(self) -> dict[str, Json]:
        """As the API shows it; a date that is not known is null."""
        return {"value": self.value, "source": self.source, "date": self.date or None, "seller": self.seller or None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A field's value, the claim that won, and every claim there is. `agreed` when all say the same."""

    won: Claim
    claims: tuple[Claim, ...]

    @property
    def value(self) -> Json:
        """The value that won."""
        return self.won.value

    @property
    def agreed(self) -> bool:
        """Whether all claims say the same."""
        return all(each.value == self.won.value for each in self.claims)

    def to_json(self) -> dict[str, Json]:
        """The value with its source and date; `claims` only where they differ, one for each list and value."""
        shown: dict[str, Json] = {**self.won.to_json(), "agreed": self.agreed}
        if not self.agreed:
            distinct = {(str(each.value), each.source): each for each in reversed(self.claims)}
            shown["claims"] = [each.to_json() for each in reversed(distinct.values())]
        return shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A model at one seller, with its prices there (US dollars for a million tokens)."""

    seller: str
    id: str
    prices: Mapping[str, Fact] = field(default_factory=dict[str, Fact])

    def price(self, name: str) -> float | None:
        """The price that won, None when no list names one."""
        fact = self.prices.get(name)
        return None if fact is None else float(str(fact.value))
