"""Times as export files write them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json

_FRACTION: Final = re.compile(r"[.,](\d+)")
_UNITS: Final = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000))  # larger than this since the epoch: nanoseconds in one unit
_LONGEST: Final = 64
_LARGEST: Final = 2**63 - 1
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def time_ns(value: Json, *, where: str) -> int:
    """Nanoseconds since the epoch, out of ISO 8601 (without a zone: UTC), or a number.

    A number is in seconds, milliseconds, microseconds or nanoseconds, by its size; `[seconds, nanoseconds]` is as JavaScript
    writes them. Raises `Invalid`, naming `where`, for anything else.
    """
    try:
        found = _time_ns(value)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 0 <= found <= _LARGEST:
        raise Invalid(f"{where} is {str(value)[:_LONGEST]!r}, which is no time", hint="Expected ISO 8601, or a number.")
    return found


def _time_ns(value: Json) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _counted(value)
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST:
            return None
        return _counted(int(text)) if text.isdecimal() else _written(text)
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(each, int) for each in value):
        seconds, rest = value
        return int(str(seconds)) * 1_000_000_000 + int(str(rest))
    return None


def _counted(value: float) -> int:
    for least, unit in _UNITS:
        if value >= least:
            return round(value * unit)
    return round(value * 1_000_000_000)


def _written(text: str) -> int:
    fraction = _FRACTION.search(text)
    digits = fraction[1][:9] if fraction else ""
    time = dt.datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    since = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH
    return since // dt.timedelta(seconds=1) * 1_000_000_000 + int(digits.ljust(9, "0"))
