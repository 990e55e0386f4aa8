"""What documents, endpoints and keys say of limits is read strictly, and the same however it is written."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.models.limits.headers import duration, headers_of
from tidemill.models.limits.kinds import LimitsKind
from tidemill.models.limits.rulebook import meters_of
from tidemill.models.limits.rules import NANO, Budget, Rates, dollars, nano_of, rates_of, read_limits, tightest
from tidemill.models.limits.windows import first_day, period_id, seconds_left

LATE = 1_767_225_599_000_000_000  # 2025-12-31T23:59:59Z


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ({"rpm": 60}, {"requests": {"minute": 60}}),
        ({"rpm": 60, "requests": {"minute": 50, "day": 9}}, {"requests": {"day": 9, "minute": 50}}),
        ({"tpd": 5, "tokens": {"month": 7}}, {"tokens": {"day": 5, "month": 7}}),
        ({"budget": "10/month"}, {"budget": [{"hard": 10.0, "per": "month"}]}),
        ({"budget": 10}, {"budget": [{"hard": 10.0, "per": "month"}]}),
        ({"budget": "$2.50 / day"}, {"budget": [{"hard": 2.5, "per": "day"}]}),
        ({"budget": {"hard": "20/total", "soft": "25%"}}, {"budget": [{"hard": 20.0, "soft": 5.0, "per": "total"}]}),
        ({"budget": {"soft": "8/day"}}, {"budget": [{"soft": 8.0, "per": "day"}]}),
        ({"concurrency": 0}, {"concurrency": 0}),
        ({}, {}),
    ],
)
def test_what_is_written_is_read(written, canonical):
    assert read_limits(written) == canonical
    assert read_limits(canonical) == canonical


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"rpm": -1}, "rpm"),
        ({"rpm": "60"}, "rpm"),
        ({"rpms": 60}, "rpms"),
        ({"requests": 60}, "requests"),
        ({"tokens": {"hour": 60}}, "tokens.hour"),
        ({"budget": "ten"}, "budget"),
        ({"budget": {"hard": "10/month", "per": "week"}}, "budget"),
        ({"budget": {"hard": 1, "firm": 2}}, "budget"),
        ({"budget": {}}, "budget"),
        ({"budget": True}, "budget"),
        ({"concurrency": None}, "concurrency"),
    ],
)
def test_what_is_wrong_has_its_place(written, where):
    with pytest.raises(Invalid) as wrong:
        read_limits(written, where="limits")
    assert [each.where for each in wrong.value.problems] == [f"limits.{where}"]


KEYS = st.sampled_from(["hard", "soft", "per", "minute", "day", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


@given(ANYTHING, st.sampled_from(["rpm", "tokens", "budget"]))
def test_nothing_that_is_written_breaks_the_reader(value, key):
    with contextlib.suppress(Invalid):
        rates_of(read_limits({key: value}))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"rpm": 1, "for": "someone"}, "for"),
        ({"rpm": 1, "for": "team/"}, "for"),
        ({"rpm": 1, "for": "team/A B"}, "for"),
        ({"rpm": 1, "for": 7}, "for"),
        ({"rpm": 1, "weight": 0}, "weight"),
        ({"rpm": 1, "priority": 10}, "priority"),
        ({"for": "project"}, ""),
    ],
)
def test_a_document_says_whose_limits_they_are(body, where):
    with pytest.raises(Invalid) as wrong:
        LimitsKind().parse(body, files=None)
    assert [each.where for each in wrong.value.problems] == [where]
    assert LimitsKind().parse({"rpm": 1, "for": "user/Ana Smith"}, files=None).spec == {
        "for": "user/Ana Smith", "requests": {"minute": 1},
    }  # fmt: skip


def test_of_several_documents_the_lowest_of_each_limit_holds():
    one = Rates(requests={"minute": 5, "day": 9}, budgets=(Budget(period="day", hard=7, soft=3),))
    other = Rates(requests={"minute": 6}, tokens={"day": 2}, concurrency=4, budgets=(Budget(period="day", soft=2),))
    assert tightest([one, other]) == Rates(
        requests={"minute": 5, "day": 9}, tokens={"day": 2}, concurrency=4, budgets=(Budget(period="day", hard=7, soft=2),)
    )


def test_periods_are_those_of_utc():
    assert [period_id(each, LATE) for each in ("day", "month", "total")] == ["2025-12-31", "2025-12", ""]
    assert [period_id(each, LATE + 10**9) for each in ("day", "month", "total")] == ["2026-01-01", "2026-01", ""]
    assert [seconds_left(each, LATE) for each in ("day", "month", "total")] == [1.0, 1.0, None]
    assert seconds_left("month", LATE + 10**9) == 31 * 86_400
    assert first_day("month", LATE) == first_day("day", LATE) - 30
    assert first_day("total", LATE) == 0


@given(st.integers(0, 4_102_444_800 * 10**9))
def test_a_month_ends_where_the_next_begins(now_ns):
    for period in ("day", "month"):
        after = now_ns + round(seconds_left(period, now_ns) * 1e9) + 1_000_000
        assert period_id(period, after) > period_id(period, now_ns)
        assert period_id(period, after - 3_000_000) == period_id(period, max(now_ns, after - 3_000_000))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0201, "21ms"), (1.0, "1s"), (59.2, "1m0s"), (360, "6m0s"), (86_399, "23h59m59s")],
)
def test_lengths_of_time_are_written_as_others_write_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("cost", "nano"), [(None, 0), (-1.0, 0), (float("nan"), 0), (float("inf"), 10**15), (1e-9, 1), (0.1, 10**8)]
)
def test_money_is_counted_in_billionths(cost, nano):
    assert nano_of(cost) == nano


def test_money_is_shown_as_people_read_it():
    assert [dollars(each) for each in (10 * NANO, 1_500, 123_456_789, 1_234_567_890_123)] == [
        "$10.00", "$0.000002", "$0.123457", "$1234.57",
    ]  # fmt: skip


def test_a_user_is_not_readable_where_counters_are_kept():
    meters = meters_of("p", "user/ana@example.org", Rates(requests={"minute": 1}))
    assert "ana" not in meters[0].key
    assert meters[0].subject == "user/ana@example.org"
    assert headers_of([]) == {}
