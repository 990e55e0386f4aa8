from __future__ import annotations

import datetime as dt
import decimal
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.rows import decode_value, encode_value, row_digest

keys = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(["$int", "$object", "$x"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | keys
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.dates()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def same(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(values)
def test_every_value_comes_back(value):
    encoded = encode_value(value)
    canonical(encoded)
    assert same(decode_value(encoded), value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (2**53 - 1, 2**53 - 1),
        (2**53 + 1, {"$int": "9007199254740993"}),
        (float("nan"), {"$float": "NaN"}),
        (float("-inf"), {"$float": "-Infinity"}),
        (decimal.Decimal("1.50"), {"$decimal": "1.5"}),
        (b"\x00\xff", {"$bytes": "AP8="}),
        (dt.date(2026, 1, 31), {"$date": "2026-01-31"}),
        (dt.datetime(2026, 1, 31, 13, tzinfo=dt.timezone(dt.timedelta(hours=1))), {"$time": "2026-01-31T12:00:00Z"}),
        ({"$int": "5"}, {"$object": {"$int": "5"}}),
    ],
)
def test_typed_form(value, encoded):
    assert encode_value(value) == encoded


@pytest.mark.parametrize("value", [object(), {1: "x"}, dt.datetime(2026, 1, 1), {1, 2}])  # noqa: DTZ001  (that is the case)
def test_other_values_are_refused(value):
    with pytest.raises(Invalid):
        encode_value(value)


@pytest.mark.parametrize("value", [{"$int": 5}, {"$other": "x"}])
def test_broken_typed_forms_are_refused(value):
    with pytest.raises(Invalid):
        decode_value(value)


def test_a_rows_digest_follows_its_values_and_types():
    assert row_digest({"a": 1, "b": 2}) == row_digest({"b": 2, "a": 1})
    assert row_digest({"a": "1"}) != row_digest({"a": 1})
    assert row_digest({"a": decimal.Decimal(1)}) != row_digest({"a": 1})
