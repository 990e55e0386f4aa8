from __future__ import annotations

import contextlib
import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.moments import parse_moment

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 11, 21, 16, 30, tzinfo=dt.UTC)  # a Saturday


def at(text, *, zone=dt.UTC, now=NOW, end=False):
    found = parse_moment(text, now_ns=int(now.timestamp() * 1e9), zone=zone, end=end)
    return dt.datetime.fromtimestamp(found / 1e9, zone).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-21 16:30:00"),
        ("7d", "2026-11-14 16:30:00"),
        ("90m", "2026-11-21 15:00:00"),
        ("2w", "2026-11-07 16:30:00"),
        ("3 hours ago", "2026-11-21 13:30:00"),
        ("1 day ago", "2026-11-20 16:30:00"),
        ("today", "2026-11-21 00:00:00"),
        ("yesterday", "2026-11-20 00:00:00"),
        ("Yesterday 14:05", "2026-11-20 14:05:00"),
        ("last tuesday", "2026-11-17 00:00:00"),
        ("last Tue 9:00", "2026-11-17 09:00:00"),
        ("last saturday", "2026-11-14 00:00:00"),
        ("saturday", "2026-11-21 00:00:00"),
        ("friday", "2026-11-20 00:00:00"),
        ("2026-11-17", "2026-11-17 00:00:00"),
        ("2026-11-17 14:30", "2026-11-17 14:30:00"),
        ("2026-11-17T14:30:05", "2026-11-17 14:30:05"),
        ("2026-11-17T14:30:05Z", "2026-11-17 14:30:05"),
        ("2026-11-17T14:30:05+02:00", "2026-11-17 12:30:05"),
        ("1763300000", "2025-11-16 13:33:20"),
    ],
)
def test_moments(text, expected):
    assert at(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-11-17", "2026-11-18 00:00:00"), ("yesterday", "2026-11-21 00:00:00"), ("last tuesday 9:00", "2026-11-17 09:00:00")],
)
def test_an_end_has_its_day_in_it(text, expected):
    assert at(text, end=True) == expected


def test_days_and_clocks_are_those_of_the_zone():
    late = dt.datetime(2026, 11, 20, 23, 30, tzinfo=dt.UTC)  # already Saturday in Berlin
    assert at("today", zone=BERLIN, now=late) == "2026-11-21 00:00:00"
    assert (
        parse_moment("2026-07-01", now_ns=0, zone=BERLIN)
        == int(dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC).timestamp()) * 10**9
    )


def test_a_day_is_24_hours_also_when_clocks_change():
    after = dt.datetime(2026, 3, 29, 12, tzinfo=BERLIN)
    assert at("1d", zone=BERLIN, now=after) == "2026-03-28 11:00:00"
    assert at("yesterday 12:00", zone=BERLIN, now=after) == "2026-03-28 12:00:00"


@pytest.mark.parametrize(
    "text",
    ["", "whenever", "2026-02-30", "2026-13-01", "7 parsecs", "last month", "last", "25:00", "yesterday 25:00", "-7d", "7d7d",
     "99999999999999", "next tuesday", "2026-11-17T99:00", "999999999w", "'; drop table"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(Invalid, match="is no moment"):
        at(text)


@given(st.text(max_size=40))
def test_anything_is_a_moment_or_refused(text):
    with contextlib.suppress(Invalid):
        parse_moment(text, now_ns=int(NOW.timestamp() * 1e9), zone=dt.UTC)


@given(st.integers(min_value=31_536_000_000_000, max_value=253_000_000_000_000_000))
def test_iso_is_read_exactly(microseconds):
    time = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
    assert parse_moment(time.isoformat(), now_ns=0, zone=dt.UTC) == microseconds * 1000
