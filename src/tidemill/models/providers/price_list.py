"""The list in the package genai-prices: what tokens cost, and some contexts. Imported, since it is a Python module."""
# pyright: basic
# The package's price records have no declared fields.

from __future__ import annotations

import datetime as dt
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from typing import Any

from tidemill.core.json import Json
from tidemill.models.catalogue_listing import Listing, Source
from tidemill.models.catalogue_names import seller_of

_PRICES = {
    "input_mtok": "input_price", "output_mtok": "output_price", "cache_read_mtok": "cached_price",
    "cache_write_mtok": "cache_write_price",
}  # fmt: skip


def read(now: dt.datetime) -> Iterator[Listing]:
    """Every model of the list, at the prices of `now`; nothing when the package is not installed."""
    if importlib.util.find_spec("genai_prices") is None:
        return
    from genai_prices import data  # noqa: PLC0415  (0.2 s)

    today = now.date().isoformat()
    dates = [
        str(start) for seller in data.providers for each in seller.models for start in _starts(each) if str(start) <= today
    ]
    source = Source(
        name="genai-prices",
        origin=f"genai-prices {importlib.metadata.version('genai-prices')}",
        date=max(dates, default=""),
        rank=0,
        note="the newest price in it",
    )
    for seller in data.providers:
        name = seller_of(seller.id)
        for model in seller.models:
            facts: dict[str, Json] = {}
            if model.context_window:
                facts["context"] = int(model.context_window)
            prices = model.get_prices(now)
            for theirs, ours in _PRICES.items():
                price = _dollars(getattr(prices, theirs, None))
                if price is not None:
                    facts[ours] = price
            yield Listing(
                source=source,
                seller=name,
                id=model.id,
                title=model.name or "",
                facts=facts,
            )


def _starts(model: Any) -> Iterator[object]:
    for each in model.prices if isinstance(model.prices, list) else ():
        start = getattr(each.constraint, "start_date", None)
        if start is not None:
            yield start


def _dollars(price: Any) -> float | None:
    """A price for short prompts: the first step of one in steps."""
    if price is None:
        return None
    return float(getattr(price, "base", price))
