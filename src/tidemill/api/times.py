"""Times as they are shown: ISO 8601 in UTC."""

from __future__ import annotations

import datetime as dt

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid

_LAST_NS = 2**63 - 1  # what a column holds: the year 2262
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def iso(ns: int | None) -> str | None:
    """Nanoseconds since the epoch as `2026-01-31T12:00:00.000000Z`; None stays None."""
    if ns is None:
        return None
    time = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC) + dt.timedelta(microseconds=ns % 1_000_000_000 // 1000)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_ns(text: str | None) -> int | None:
    """Nanoseconds of a time given as ISO 8601 (UTC when it has no zone) or as seconds since the epoch."""
    if text is None:
        return None
    try:
        if text.replace(".", "", 1).isdigit():
            return min(round(min(float(text), 1e10) * 1e9), _LAST_NS)
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time", hint="Write 2026-01-31T12:00:00Z, or so long ago: 24h, 7d.") from error
    since = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH
    return max(-_LAST_NS, min(since // dt.timedelta(microseconds=1) * 1000, _LAST_NS))


def since_ns(text: str | None, *, now_ns: int) -> int | None:
    """The same, or so long ago: `24h`, `7d`."""
    if text is not None and text[-1:].isalpha() and text[:1].isdigit() and text[-1:] not in "zZ":
        return now_ns - round(parse_duration(text, what="since") * 1e9)
    return to_ns(text)
