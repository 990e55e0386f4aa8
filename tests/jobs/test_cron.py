"""Cron rules, against times worked out by hand from a calendar."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.jobs.cron import parse_cron


def ns(text):
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("rule", "after", "due"),
    [
        ("0 3 * * *", "2026-11-21 02:59:59", "2026-11-21 03:00:00"),
        ("0 3 * * *", "2026-11-21 03:00:00", "2026-11-22 03:00:00"),
        ("*/15 * * * *", "2026-11-21 10:07:00", "2026-11-21 10:15:00"),
        ("5/20 * * * *", "2026-11-21 10:26:00", "2026-11-21 10:45:00"),
        ("30 8-10,20 * * *", "2026-11-21 10:30:00", "2026-11-21 20:30:00"),
        ("0 0 29 2 *", "2026-11-21 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"),
        ("0 9 * * mon-fri", "2026-11-21 12:00:00", "2026-11-23 09:00:00"),  # a Saturday
        ("0 9 * * 7", "2026-11-21 12:00:00", "2026-11-22 09:00:00"),
        ("0 0 13 * fri", "2026-11-21 00:00:00", "2026-11-27 00:00:00"),  # both restricted: either is enough
        ("@monthly", "2026-12-31 23:59:00", "2027-01-01 00:00:00"),
        ("59 23 31 dec *", "2026-11-21 00:00:00", "2026-12-31 23:59:00"),
    ],
)
def test_the_next_time(rule, after, due):
    assert parse_cron(rule).next_after(ns(after)) == ns(due)


@pytest.mark.parametrize(
    "rule",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
     "5-1 * * * *", "a * * * *", "* * 31 feb *", "* * * * * *", "1,,2 * * * *", "-1 * * * *"],
)  # fmt: skip
def test_what_is_not_cron_is_refused(rule):
    with pytest.raises(Invalid, match="the schedule"):
        parse_cron(rule)


@given(
    now=st.integers(min_value=0, max_value=4 * 10**18),
    rule=st.tuples(st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.integers(1, 12)),
)
def test_the_next_time_lies_ahead_and_fits_the_rule(now, rule):
    due = parse_cron("{} {} {} {} *".format(*rule)).next_after(now)
    at = dt.datetime.fromtimestamp(due // 10**9, dt.UTC)
    assert due > now
    assert (at.minute, at.hour, at.day, at.month) == rule
