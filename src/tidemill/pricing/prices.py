"""The price of a call, from the dated list that comes with the `genai-prices` package. Nothing is asked of a network."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import time
from dataclasses import dataclass
from typing import Literal

from tidemill.core.chat import Usage

_FREE = frozenset({"local", "test"})
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rates:
    """US dollars a token."""

    input: float
    output: float
    cached: float


def cost_of(provider: str, model: str, usage: Usage, *, at_ns: int | None = None) -> float | None:
    """US dollars for `usage` of a provider's model; None when the list has no price for it.

    `at_ns` (nanoseconds since the epoch; default now) picks the price of that time. Models that run here and test models cost
    0. A model is looked for under its provider only, because others sell the same name at another price.
    `usage.cached_tokens` are part of `usage.input_tokens`.
    """
    if provider in _FREE:
        return 0.0
    if not model:
        return None
    # Some prices depend on the time of day, so the rates are kept for a minute.
    minute = (time.time_ns() if at_ns is None else at_ns) // _MINUTE_NS
    rates = _rates(provider, model, minute)
    if rates is None:
        return None
    if rates == "tiers":
        return _exact(provider, model, usage, minute)
    cached = min(usage.cached_tokens, usage.input_tokens)
    return (usage.input_tokens - cached) * rates.input + cached * rates.cached + usage.output_tokens * rates.output


def _exact(provider: str, model: str, usage: Usage, minute: int) -> float | None:
    """The library's own reckoning: right for prices in tiers too, and a hundred times slower."""
    import genai_prices  # noqa: PLC0415  (200 ms to import; needed only once a paid model is called)

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
    )
    try:
        price = genai_prices.calc_price(counted, model, provider_id=provider, genai_request_timestamp=_time(minute))
    except LookupError:
        return None
    return float(price.total_price)


@functools.lru_cache(maxsize=1024)
def _rates(provider: str, model: str, minute: int) -> _Rates | Literal["tiers"] | None:
    """The rates of a model, `tiers` when its prices are not plain numbers, None when it has none."""
    import genai_prices  # noqa: PLC0415  (as above)

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1), model, provider_id=provider, genai_request_timestamp=_time(minute)
        ).model_price
    except LookupError:
        return None
    prices = [getattr(found, name, None) for name in ("input_mtok", "output_mtok", "cache_read_mtok")]
    if any(price is not None and not isinstance(price, decimal.Decimal) for price in prices):
        return "tiers"
    per_input, per_output, per_cached = (None if price is None else float(price) / 1e6 for price in prices)
    return _Rates(
        input=per_input or 0.0,
        output=per_output or 0.0,
        cached=(per_input or 0.0) if per_cached is None else per_cached,
    )


def _time(minute: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(minute * 60, dt.UTC)
