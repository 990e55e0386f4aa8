"""Lengths of time as people write them."""

from __future__ import annotations

import re

from tidemill.core.errors import Invalid

_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 10 * 365 * 86400.0


def parse_duration(value: object, *, what: str = "a length of time") -> float:
    """Seconds of `30s`, `15m`, `1h`, `7d`, `200ms`, or of a number of seconds. Raises `Invalid`; at most ten years."""
    hint = "Write 30s, 15m, 1h or 7d."
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid(f"{what} is {value!r}, which is not a length of time", hint=hint)
    if isinstance(value, str):
        match = _FORM.fullmatch(value.strip())
        if match is None:
            raise Invalid(f"{what} is {value!r}, which is not a length of time", hint=hint)
        seconds = float(match[1]) * _SECONDS[match[2]]
    else:
        seconds = float(value)
    if not 0 <= seconds <= _LONGEST:
        raise Invalid(f"{what} is {value!r}, but must be from 0 to ten years", hint=hint)
    return seconds
