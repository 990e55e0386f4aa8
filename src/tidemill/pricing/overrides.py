"""Prices of a project's own: agreed ones, those of models that the list has not, and corrected ones."""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.pricing.names import provider_id
from tidemill.pricing.rates import Rates

_MOST: Final = 1000
_LAST_NS: Final = 2**63 - 1
_PER: Final[Mapping[str, tuple[str, float]]] = {
    "input": ("input", 1e6), "output": ("output", 1e6), "cached": ("cached", 1e6), "cache_write": ("cache_write", 1e6),
    "reasoning": ("reasoning", 1e6), "audio_input": ("audio_input", 1e6), "audio_output": ("audio_output", 1e6),
    "request": ("request", 1), "image": ("image", 1), "audio_second": ("audio_second", 1), "audio_minute": ("audio_second", 60),
}  # fmt: skip
PRICES: Final = tuple(_PER)
"""What can have a price: classes of tokens by the million, a request, an image, a second or minute of audio."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceOverride:
    """Rates of one model, or of all that a pattern with `*` names, under one provider or any, from a time until another.

    It stands in place of the list's price as a whole.
    """

    model: str
    rates: Rates
    provider: str = ""
    from_ns: int = 0
    to_ns: int = _LAST_NS

    def is_of(self, provider: str, model: str) -> bool:
        """Whether it is about this model, by the names that were reported."""
        if self.provider and self.provider != provider_id(provider):
            return False
        return fnmatch.fnmatchcase(model.lower(), self.model.lower())


def read_prices(value: object) -> tuple[PriceOverride, ...]:
    """The `prices` of a document: `[{model, provider?, from?, to?, input, output, …}]`.

    They are in US dollars: for a million tokens of a class, or for one request, image, second or minute of audio. Raises
    `Invalid`.
    """
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or len(cast("Sequence[object]", value)) > _MOST:
        raise Invalid("prices are a list", hint=f"Write prices: [{{model: NAME, input: 2.5, output: 10}}], at most {_MOST}.")
    return tuple(_read(each) for each in cast("Sequence[object]", value))


def _read(value: object) -> PriceOverride:
    if not isinstance(value, Mapping):
        raise Invalid(f"a price is a mapping, not {value!r}", hint="Write {model: NAME, input: 2.5, output: 10}.")
    given = cast("Mapping[str, object]", value)
    model = given.get("model")
    if not isinstance(model, str) or not model or len(model) > 300:
        raise Invalid("a price says for which model it is", hint="Write model: NAME, or a pattern as in gpt-4o*.")
    rates: dict[str, float] = {}
    for name, each in given.items():
        if name in {"model", "provider", "from", "to"}:
            continue
        if name not in _PER:
            raise Invalid(f"prices of {model}: unknown {name!r}", hint=did_you_mean(name, [*PRICES, "provider", "from", "to"]))
        if isinstance(each, bool) or not isinstance(each, int | float) or not math.isfinite(each) or each < 0:
            raise Invalid(f"prices of {model}: {name} is {each!r}", hint="A price is a number of US dollars, at least 0.")
        field, per = _PER[name]
        rates[field] = each / per
    if not rates:
        raise Invalid(f"prices of {model} have no price", hint=f"Say one of {', '.join(PRICES)}.")
    start, end = _time(given.get("from"), model), _time(given.get("to"), model)
    if start is not None and end is not None and start >= end:
        raise Invalid(f"prices of {model}: from {given['from']} is not before to {given['to']}")
    return PriceOverride(
        model=model, provider=provider_id(str(given.get("provider") or "")), rates=Rates(**rates),  # pyright: ignore[reportArgumentType]  (`tiers` is not among the names)
        from_ns=start or 0, to_ns=_LAST_NS if end is None else end,
    )  # fmt: skip


def _time(value: object, model: str) -> int | None:
    if value is None:
        return None
    try:
        found = dt.datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Invalid(f"prices of {model}: {value!r} is not a day", hint="Write 2026-01-31, or a time.") from error
    found = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    return int(found.timestamp()) * 10**9


@dataclass(frozen=True, slots=True)
class Overrides:
    """A project's prices, ready to be looked up. Of several that are about a model at a time, the last counts."""

    prices: tuple[PriceOverride, ...] = ()
    _known: dict[tuple[str, str], tuple[PriceOverride, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[PriceOverride, ...]], compare=False, repr=False
    )

    def at(self, provider: str, model: str, at_ns: int) -> Rates | None:
        """The rates of a model at a time; None when the project says nothing of it."""
        if not self.prices:
            return None
        key = (provider, model)
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 10_000:  # names that never end
                self._known.clear()
            found = self._known[key] = tuple(each for each in reversed(self.prices) if each.is_of(provider, model))
        for each in found:
            if each.from_ns <= at_ns < each.to_ns:
                return each.rates
        return None
