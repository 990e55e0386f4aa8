"""What was used is added up, on either database, also when many write at once."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

from tidemill.store.usage import Used, add_usage, date_of, day_of, forget_subjects, usage_by_day, usage_by_subject, usage_of


def add(database, project, subject, day, **used):
    database.write_sync(lambda db: add_usage(db, {(project, subject, day): Used(**used)}))


def test_what_comes_later_is_added(database):
    add(database, "p", "key/a", 5, requests=1, input_tokens=10, cost=2**60)
    add(database, "p", "key/a", 5, requests=2, output_tokens=3, refused=1)
    add(database, "p", "key/a", 7, requests=4)
    add(database, "p", "key/b", 7, requests=8, cost=1)
    add(database, "q", "key/a", 7, requests=16)
    read = database.read_sync
    found = read(lambda db: usage_of(db, "p", ["key/a", "key/b", "key/none"], since=5, until=6))
    assert found == {"key/a": Used(requests=3, refused=1, input_tokens=10, output_tokens=3, cost=2**60)}
    assert found["key/a"].tokens == 13
    by_day = read(lambda db: usage_by_day(db, "p", "key/a", since=0, until=7))
    assert {day: each.requests for day, each in by_day.items()} == {5: 3, 7: 4}
    assert list(read(lambda db: usage_by_subject(db, "p", kind="key", since=7, until=7))) == ["key/b", "key/a"]
    assert database.write_sync(lambda db: forget_subjects(db, "p", ["key/a", "key/none"])) == 2
    assert read(lambda db: usage_of(db, "q", ["key/a"], since=0, until=9))["key/a"].requests == 16


def test_nothing_is_lost_when_many_write(database):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: add(database, "p", "project", 1, requests=1), range(80)))
    assert database.read_sync(lambda db: usage_of(db, "p", ["project"], since=1, until=1))["project"].requests == 80


def test_days_are_those_of_utc():
    assert date_of(day_of(1_767_225_599_000_000_000)) == dt.date(2025, 12, 31)
    assert date_of(day_of(1_767_225_600_000_000_000)) == dt.date(2026, 1, 1)
