"""Cron rules: minute, hour, day of the month, month, day of the week, in UTC.

The syntax is POSIX `crontab` with steps (`*/15`), lists, ranges and names (`mon`, `jan`), and `@hourly` and the like. As in
POSIX, a rule that restricts both the day of the month and the day of the week holds on days that satisfy either.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidemill.core.errors import Invalid

_HINT: Final = 'Write five fields in UTC: minute hour day month weekday, as in "0 3 * * *" or "*/15 * * * 1-5".'
_NAMED: Final = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_MONTHS: Final = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: Final[tuple[tuple[str, int, int, Mapping[str, int]], ...]] = (
    ("minute", 0, 59, {}), ("hour", 0, 23, {}), ("day", 1, 31, {}), ("month", 1, 12, _MONTHS), ("weekday", 0, 7, _DAYS),
)  # fmt: skip
_PIECE: Final = re.compile(r"(?P<first>\*|[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?(?:/(?P<step>[0-9]+))?")
_YEARS: Final = 9  # the longest gap that the calendar can make: 29 February around 2100


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron:
    """A parsed rule. Weekdays count from Sunday, 0."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Whether both kinds of day are restricted, so that one of them is enough."""

    def next_after(self, now_ns: int) -> int:
        """The first time after `now_ns` at which it is due; nanoseconds since the epoch, UTC."""
        start = dt.datetime.fromtimestamp(now_ns // 1_000_000_000, dt.UTC).replace(second=0) + dt.timedelta(minutes=1)
        day = start.date()
        while day.year <= start.year + _YEARS:
            if day.month in self.months and self._holds_on(day):
                floor = start.time() if day == start.date() else dt.time()
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        if (hour, minute) >= (floor.hour, floor.minute):
                            found = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC)
                            return round(found.timestamp()) * 1_000_000_000
            day += dt.timedelta(days=1)
        raise Invalid(f"the schedule {self.text!r} is never due", hint=_HINT)

    def _holds_on(self, day: dt.date) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week


def parse_cron(text: str) -> Cron:
    """Parse a rule. Raises `Invalid` naming the field that is wrong, also for a day that no month has."""
    rule = _NAMED.get(text.strip().lower(), text.strip().lower())
    fields = rule.split()
    if len(fields) != len(_FIELDS):
        raise Invalid(f"the schedule {text!r} has {len(fields)} fields, not 5", hint=_HINT)
    read = [_field(written, *form, text=text) for written, form in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = read
    cron = Cron(
        text=text,
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(each % 7 for each in weekdays),
        either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
    )
    cron.next_after(0)  # 30 February is refused now
    return cron


def _field(written: str, name: str, low: int, high: int, names: Mapping[str, int], *, text: str) -> frozenset[int]:
    found: set[int] = set()
    for piece in written.split(","):
        match = _PIECE.fullmatch(piece)
        if match is None:
            raise Invalid(f"the schedule {text!r} has {piece!r} as {name}, which is not cron", hint=_HINT)
        step = int(match["step"] or 1)
        if match["first"] == "*":
            first, last = low, high
        else:
            first = _number(match["first"], names)
            last = _number(match["last"], names) if match["last"] else high if match["step"] else first
        if first is None or last is None or not low <= first <= last <= high or step < 1:
            raise Invalid(f"the schedule {text!r} has {piece!r} as {name}, which goes from {low} to {high}", hint=_HINT)
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, names: Mapping[str, int]) -> int | None:
    return int(text) if text.isdecimal() else names.get(text)
