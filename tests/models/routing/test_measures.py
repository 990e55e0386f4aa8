"""Averages, quantiles, and who a key belongs to."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.models.routing.latency import Latencies, PeakEwma, Recent
from tidemill.models.routing.rendezvous import bid, key_of, within_bound

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


def winner(key, weights):
    return max(weights, key=lambda name: bid(key, name, weights[name]))


def test_a_peak_shows_at_once_and_passes_slowly():
    average = PeakEwma(decay=10)
    average.observe(0.1, 0)
    average.observe(2.0, 1)
    assert average.cost(1) == 2.0
    average.observe(0.1, 11)
    assert average.cost(11) == pytest.approx(2.0 / math.e + 0.1 * (1 - 1 / math.e))
    assert average.cost(1000) < 1e-9, "what was long ago says nothing"


@given(st.lists(st.floats(0.001, 100), min_size=8, max_size=120), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_quantile_is_one_of_the_sample_that_enough_do_not_exceed(values, share):
    recent = Recent()
    for each in values:
        recent.observe(each, 0.0)
    recent._since = 8
    found = recent.quantile(share, 0.0)
    assert sum(each <= found for each in values) >= share * len(values)
    assert share > 0 or found == min(values)


def test_few_or_old_durations_say_nothing():
    recent = Recent()
    for _ in range(7):
        recent.observe(1.0, 0.0)
    assert recent.quantile(0.5, 0.0) is None
    recent.observe(1.0, 0.0)
    assert recent.quantile(0.5, 0.0) == 1.0
    assert recent.quantile(0.5, 100.0) is None


def test_only_the_last_128_count():
    seen = Latencies()
    for each in range(300):
        seen.observe(float(each), 0.0)
    assert seen.recent.quantile(0.0, 0.0) >= 300 - 128 - 8


@given(NAMES, st.text(max_size=20))
def test_when_a_target_goes_only_its_own_keys_move(names, text):
    weights = dict.fromkeys(names, 1.0)
    before = winner(key_of(text), weights)
    for gone in names:
        if gone != before and len(names) > 1:
            assert winner(key_of(text), {name: 1.0 for name in names if name != gone}) == before
    after = winner(key_of(text), {**weights, "newcomer": 1.0})
    assert after in {before, "newcomer"}


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_weights_are_met_by_keys(seed):
    weights = {"a": 1.0, "b": 3.0, "c": 0.0}
    found = Counter(winner(key_of(f"{seed}:{each}"), weights) for each in range(2000))
    assert found["c"] == 0
    assert abs(found["a"] / 2000 - 0.25) < 0.06


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.1, 10)), min_size=1, max_size=8))
def test_somebody_is_always_within_the_bound(targets):
    loads, weights = zip(*targets, strict=True)
    fits = within_bound(loads, weights, most=1.25)
    assert any(fits)
    total = sum(loads) + 1
    for load, weight, fit in zip(loads, weights, fits, strict=True):
        assert fit == (load + 1 <= math.ceil(1.25 * total * weight / sum(weights)))
