"""The price of a call: by a project's own prices, else by the dated list."""

from __future__ import annotations

import time
from typing import Literal, NamedTuple, TypeAlias

from tidemill.core.chat import Usage
from tidemill.pricing.listed import FREE, listed_rates
from tidemill.pricing.overrides import Overrides

Source: TypeAlias = Literal["list", "project"]


class Priced(NamedTuple):
    """US dollars, and whose price it was."""

    cost: float
    source: Source


def cost_of(provider: str, model: str, usage: Usage, *, at_ns: int | None = None) -> float | None:
    """US dollars for `usage` of a provider's model; None when the list has no price for it.

    `at_ns` (nanoseconds since the epoch; default now) picks the price of that time. Models that run here and test models cost
    0. A model is looked for under its provider only, because others sell the same name at another price.
    """
    if provider in FREE:
        return 0.0
    rates = listed_rates(provider, model)
    if rates is None:
        return None
    return rates.at(time.time_ns() if at_ns is None else at_ns).cost(usage)


def price_of(
    provider: str,
    model: str,
    usage: Usage,
    *,
    at_ns: int,
    overrides: Overrides | None = None,
    images: float = 0.0,
    audio_seconds: float = 0.0,
) -> Priced | None:
    """The same by a project's own prices where it has one, with images and seconds of audio; and whose price it was."""
    own = None if overrides is None else overrides.at(provider, model, at_ns)
    if own is not None:
        return Priced(own.cost(usage, images=images, audio_seconds=audio_seconds), "project")
    listed = listed_rates(provider, model)
    return None if listed is None else Priced(listed.at(at_ns).cost(usage, images=images, audio_seconds=audio_seconds), "list")
