"""Moments as people write them: `2026-11-17`, `2026-11-17 14:30`, `7d`, `3 hours ago`, `yesterday`, `last tuesday 9:00`.

    moment   = "now" | length ["ago"] | day [clock] | ISO 8601 | seconds since the epoch
    day      = "today" | "yesterday" | ["last"] weekday | YYYY-MM-DD
    weekday  = the last one before today with "last"; without it, today when it is one
    length   = number unit, unit = s m h d w, or its word

A day without a clock is its first moment, and as an end (`end=True`) the first of the next, so that the day is in it. A length
is exact: a day is 24 hours. Clocks are those of the zone; where a clock skips an hour, that hour is the one after.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from tidemill.core.errors import Invalid

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WORDS: Final = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d", "week": "w"}
_LENGTH: Final = re.compile(r"(\d{1,9}) ?([a-z]+)( ago)?")
_DAY: Final = re.compile(
    r"(today|yesterday|(?:last |on )?[a-z]+|\d{4}-\d{2}-\d{2})(?: (?:at )?(\d{1,2}):(\d{2})(?::(\d{2}))?)?"
)
_LARGEST: Final = 253402214400  # the year 9999, in seconds
_HINT: Final = "Write 2026-11-17, 2026-11-17T14:30Z, 7d, yesterday or last tuesday."


def parse_moment(text: str, *, now_ns: int, zone: dt.tzinfo | None = None, end: bool = False, what: str = "the time") -> int:
    """Nanoseconds since the epoch. `zone` is whose days and clocks are meant; None is this machine's.

    Raises `Invalid`, naming `what` and the text, for what is not a moment and for days that no calendar has.
    """
    plain = " ".join(text.strip().lower().split())
    try:
        found = _length(plain, now_ns) or _epoch(plain) or _day(plain, now_ns, zone, end=end) or _iso(text.strip(), zone)
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None:
        raise Invalid(f"{what} is {text[:80]!r}, which is no moment", hint=_HINT)
    return found


def _length(text: str, now_ns: int) -> int | None:
    if text == "now":
        return now_ns
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    unit = match[2] if match[2] in _UNITS else _WORDS.get(match[2].removesuffix("s"))
    if unit is None:
        return None
    found = now_ns - int(match[1]) * _UNITS[unit] * 1_000_000_000
    return found if found > 0 else None


def _epoch(text: str) -> int | None:
    if not re.fullmatch(r"\d{9,12}(\.\d{1,9})?", text):
        return None
    seconds, _, rest = text.partition(".")
    return int(seconds) * 1_000_000_000 + int(rest.ljust(9, "0")) if int(seconds) < _LARGEST else None


def _day(text: str, now_ns: int, zone: dt.tzinfo | None, *, end: bool) -> int | None:
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    today = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC).astimezone(zone).date()
    date = _date(match[1], today)
    if date is None:
        return None
    if match[2] is not None:
        return _at(date, dt.time(int(match[2]), int(match[3]), int(match[4] or 0)), zone)
    return _at(date + dt.timedelta(days=1) if end else date, dt.time(), zone)


def _date(text: str, today: dt.date) -> dt.date | None:
    if text == "today":
        return today
    if text == "yesterday":
        return today - dt.timedelta(days=1)
    if text[0].isdigit():
        return dt.date.fromisoformat(text)
    name = text.removeprefix("last ").removeprefix("on ")
    wanted = [at for at, each in enumerate(_DAYS) if name in {each, each[:3]}]
    if not wanted:
        return None
    back = (today.weekday() - wanted[0]) % 7
    return today - dt.timedelta(days=back or (7 if text.startswith("last ") else 0))


def _iso(text: str, zone: dt.tzinfo | None) -> int | None:
    time = dt.datetime.fromisoformat(text)
    return _ns(time if time.tzinfo is not None else _placed(time, zone))


def _at(date: dt.date, clock: dt.time, zone: dt.tzinfo | None) -> int:
    return _ns(_placed(dt.datetime.combine(date, clock), zone))


def _placed(time: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    return time.astimezone() if zone is None else time.replace(tzinfo=zone)


def _ns(time: dt.datetime) -> int:
    since = time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return since // dt.timedelta(microseconds=1) * 1000
