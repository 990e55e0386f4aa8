"""Which candidates are worth choosing, and what their figures mean."""

from __future__ import annotations

import pytest

from evaluation.made import evaluated
from tidemill.core.chat import Usage
from tidemill.evaluation.standing import front, standing

GOOD, BAD = [1.0] * 20, [0.0] * 20


def candidate(name, scores, *, cost=0.0, latency=100.0, price=None, reused=False, errors=None):
    made = evaluated(
        name,
        scores=scores,
        cost=[cost] * len(scores),
        latency_ms=[latency] * len(scores),
        reused=[reused] * len(scores),
        usage=[Usage(input_tokens=100, output_tokens=50)] * len(scores),
        **({"error": errors} if errors else {}),
    )
    return made, standing(made, price=price)


def marks(*candidates):
    return [mark for mark, _ in front(candidates, metric="score")]


def test_the_better_one_that_costs_no_more_dominates() -> None:
    assert marks(candidate("a", GOOD), candidate("b", BAD)) == ["front", "dominated"]
    assert front([candidate("a", GOOD), candidate("b", BAD)], metric="score")[1][1] == [0], "who dominates it"


def test_what_is_better_and_dearer_and_what_is_worse_and_cheaper_are_both_on_the_front() -> None:
    assert marks(candidate("a", GOOD, cost=0.01), candidate("b", BAD, cost=0.001)) == ["front", "front"]
    assert marks(candidate("a", GOOD, latency=900), candidate("b", BAD, latency=90)) == ["front", "front"]


def test_a_cheaper_one_without_a_loss_that_is_shown_leaves_it_undecided() -> None:
    slightly = [1.0] * 10 + [0.9] + [1.0] * 9
    assert marks(candidate("a", GOOD, cost=0.01), candidate("b", slightly, cost=0.001)) == ["undecided", "front"]


def test_equals_are_all_on_the_front() -> None:
    assert marks(candidate("a", GOOD), candidate("b", GOOD, latency=104)) == ["front", "front"]


def test_a_latency_of_earlier_says_nothing() -> None:
    slow, quick = candidate("a", GOOD, latency=900, reused=True), candidate("b", GOOD, latency=90)
    assert slow[1].earlier
    assert slow[1].latency_p50 == 900
    assert marks(slow, quick) == ["front", "front"]


def test_without_a_price_nobody_is_dearer() -> None:
    assert marks(candidate("a", GOOD, cost=None), candidate("b", BAD)) == ["front", "front"]


def test_a_run_that_failed_counts_as_the_worst() -> None:
    errors = ["it failed"] * 10 + [None] * 10
    failing = candidate("a", [None] * 10 + [1.0] * 10, errors=errors)
    assert failing[1].errors == 10
    assert failing[1].quality["score"].mean == pytest.approx(0.5)
    assert marks(failing, candidate("b", GOOD)) == ["dominated", "front"]


def test_the_cost_of_a_load_with_its_interval() -> None:
    shown = candidate("a", GOOD, cost=0.002)[1].to_json(load=100_000)["cost"]
    assert shown["per_month"] == pytest.approx(200)
    assert shown["interval"] == pytest.approx([200, 200])
    assert shown["priced_by"] == "pricing"


def test_a_price_of_the_catalogue_stands_in() -> None:
    figures = candidate("a", GOOD, cost=None, price=(1.0, 10.0))[1]
    assert figures.priced_by == "catalogue"
    assert figures.cost.mean == pytest.approx((100 * 1 + 50 * 10) / 1e6)
    assert candidate("a", GOOD, cost=None)[1].to_json(load=1)["cost"]["per_month"] is None


def test_tokens_a_second_are_of_one_answer() -> None:
    assert candidate("a", GOOD, latency=500)[1].tokens_per_second == pytest.approx(100)
