"""Prices of the dated list that comes with the `genai-prices` package. Nothing is asked of a network."""

from __future__ import annotations

import bisect
import datetime as dt
import decimal
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from tidemill.pricing.names import model_names, provider_id
from tidemill.pricing.rates import Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

FREE: Final = frozenset({"local", "test"})
"""Providers whose models run here."""
_NOTHING: Final = Rates()
_MINUTE_NS: Final = 60_000_000_000
_PER: Final = {
    "input": ("input_mtok", 1e6),
    "output": ("output_mtok", 1e6),
    "cached": ("cache_read_mtok", 1e6),
    "cache_write": ("cache_write_mtok", 1e6),
    "reasoning": ("output_reasoning_mtok", 1e6),
    "audio_input": ("input_audio_mtok", 1e6),
    "audio_output": ("output_audio_mtok", 1e6),
    "request": ("requests_kcount", 1e3),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dated:
    """A model's rates over time: those of `starts[i]` (nanoseconds since the epoch) hold until the next; or by the clock."""

    starts: Sequence[int] = ()
    rates: Sequence[Rates] = ()
    by_clock: Callable[[int], Rates] | None = None

    def at(self, at_ns: int) -> Rates:
        """The rates at a time; before the first, the first."""
        if self.by_clock is not None:
            return self.by_clock(at_ns // _MINUTE_NS)
        if len(self.rates) == 1:
            return self.rates[0]
        return self.rates[max(0, bisect.bisect_right(self.starts, at_ns) - 1)]


_ALWAYS_FREE: Final = Dated(starts=(0,), rates=(_NOTHING,))


@functools.lru_cache(maxsize=8192)
def listed_rates(provider: str, model: str) -> Dated | None:
    """The rates of a provider's model, by the names that were reported; None when the list has none.

    A model is looked for under its provider only, because others sell the same name at another price; where no provider was
    reported, under the one that makes it.
    """
    if provider in FREE:
        return _ALWAYS_FREE
    if not model:
        return None
    import genai_prices  # noqa: PLC0415  (200 ms to import; needed only once a paid model is called)

    for name in model_names(model):
        try:
            found = genai_prices.calc_price(genai_prices.Usage(input_tokens=1), name, provider_id=provider_id(provider) or None)
        except LookupError:
            continue
        return _dated(found.model)
    return None


def _dated(model: ModelInfo) -> Dated:
    from genai_prices.types import ModelPrice, StartDateConstraint  # noqa: PLC0415  (as above)

    prices = model.prices
    if isinstance(prices, ModelPrice):
        return Dated(starts=(0,), rates=(_rates(prices),))
    if any(not isinstance(each.constraint, StartDateConstraint | None) for each in prices):

        @functools.lru_cache(maxsize=4096)
        def by_clock(minute: int) -> Rates:
            return _rates(model.get_prices(dt.datetime.fromtimestamp(minute * 60, dt.UTC)))

        return Dated(by_clock=by_clock)
    days = {dt.date(1970, 1, 1)} | {
        each.constraint.start_date for each in prices if isinstance(each.constraint, StartDateConstraint)
    }
    times = [dt.datetime.combine(day, dt.time(), dt.UTC) for day in sorted(days)]
    return Dated(
        starts=[int(time.timestamp()) * 10**9 for time in times],
        rates=[_rates(model.get_prices(time)) for time in times],
    )


def _rates(price: ModelPrice) -> Rates:
    from genai_prices.types import TieredPrices  # noqa: PLC0415  (as above)

    given = {name: cast("object", getattr(price, key, None)) for name, (key, _) in _PER.items()}
    given["audio_second"] = cast("object", getattr(price, "audio_hours", None) or getattr(price, "input_audio_hours", None))
    starts = sorted({tier.start for each in given.values() if isinstance(each, TieredPrices) for tier in each.tiers})

    def rates_for(tokens: int, tiers: tuple[tuple[int, Rates], ...] = ()) -> Rates:
        found: dict[str, float] = {}
        for name, each in given.items():
            price = _of_tier(each, tokens) if isinstance(each, TieredPrices) else each
            if isinstance(price, decimal.Decimal):
                found[name] = float(price) / (3600 if name == "audio_second" else _PER[name][1])
        return Rates(**found, tiers=tiers)  # pyright: ignore[reportArgumentType]  (`tiers` is not among the names)

    def _of_tier(price: TieredPrices, tokens: int) -> decimal.Decimal:
        return next((tier.price for tier in reversed(price.tiers) if tokens > tier.start), price.base)

    return rates_for(0, tuple((start, rates_for(start + 1)) for start in starts))
