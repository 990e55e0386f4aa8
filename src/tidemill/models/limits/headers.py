"""How limits stand, as headers of an answer: the `x-ratelimit-*` family, and a word on a budget that runs low."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidemill.models.limits.counting import Standing
from tidemill.models.limits.rules import dollars


def headers_of(standings: Sequence[Standing]) -> dict[str, str]:
    """Of requests and of tokens the limit that has least left; for each budget past its `soft`, a warning."""
    found: dict[str, str] = {}
    tight: dict[str, Standing] = {}
    warned: list[str] = []
    for each in standings:
        meter = each.meter
        if meter.unit == "money":
            if meter.soft is not None and each.used >= meter.soft:
                warned.append(f"{meter.subject} {dollars(each.used)} of {dollars(min(meter.limit, meter.soft))}/{meter.period}")
        elif meter.unit not in tight or each.remaining < tight[meter.unit].remaining:
            tight[meter.unit] = each
    for unit, each in tight.items():
        found[f"x-ratelimit-limit-{unit}"] = str(each.meter.limit)
        found[f"x-ratelimit-remaining-{unit}"] = str(each.remaining)
        if each.reset is not None:
            found[f"x-ratelimit-reset-{unit}"] = duration(each.reset)
    if warned:
        found["x-tidemill-budget-warning"] = ", ".join(warned).encode("ascii", "replace").decode()
    return found


def duration(seconds: float) -> str:
    """A length of time as these headers write it: `20ms`, `59s`, `6m0s`, `23h59m59s`; rounded up."""
    if seconds < 1:
        return f"{max(0, math.ceil(seconds * 1000))}ms"
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
