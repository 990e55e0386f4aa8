"""How often a threshold gives the wrong answer."""

from __future__ import annotations

import pytest

from tidemill.core.chat import Vectors
from tidemill.core.errors import Invalid
from tidemill.models.cache.measure import measure

NEAR = [[1.0, 0.0], [0.99, 0.14], [0.0, 1.0], [0.14, 0.99], [0.96, 0.28]]


def test_hits_and_wrong_ones_are_counted_as_the_cache_would_have_them():
    exact, loose = measure(Vectors.from_lists(NEAR), ["a", "a", "b", "b", "c"], thresholds=[0.98, 0.1])
    assert (exact.questions, exact.hits, exact.false_hits) == (5, 2, 0)
    assert (loose.hits, loose.false_hits) == (3, 1)  # the first two meanings share nothing; the third is taken for the first
    assert exact.low == 0
    assert 0 < loose.low < 1 / 3 < loose.high < 1


def test_the_interval_is_wilsons():
    alike = Vectors.from_lists([[1.0, 0.0]] * 101)
    (found,) = measure(alike, ["a"] * 91 + ["b"] * 10, thresholds=[0.9])
    assert (found.hits, found.false_hits) == (100, 10)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0552, 0.1744)


def test_every_question_needs_its_vector():
    with pytest.raises(Invalid, match="2 vectors of 1"):
        measure(Vectors.from_lists([[1.0], [1.0]]), ["a"], thresholds=[0.5])
