"""Times as they are shown: ISO 8601 in UTC."""

from __future__ import annotations

import datetime as dt

from tidemill.core.errors import Invalid


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
            return round(float(text) * 1e9)
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time", hint="Write 2026-01-31T12:00:00Z or seconds since the epoch.") from error
    return round((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1e9)
