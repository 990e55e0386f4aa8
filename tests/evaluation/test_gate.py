"""Gates: each of the four results forced, for bounds and for both tests, and what keeps the incumbent."""

import numpy as np
import pytest

from evaluation.made import evaluated, replicated
from tidemill.evaluation.gate import decide, overall
from tidemill.evaluation.gate_rules import CheckRule, GateRule

GENERATOR = np.random.default_rng(9)
OLD = [float(each) for each in GENERATOR.uniform(0.3, 0.5, size=60)]
GAIN = [each + 0.2 + float(move) for each, move in zip(OLD, GENERATOR.normal(0, 0.05, 60), strict=True)]
NOISE = [each + float(move) for each, move in zip(OLD, GENERATOR.normal(0, 0.12, 60), strict=True)]
SLIGHT = [each + float(move) - 0.005 for each, move in zip(OLD, GENERATOR.normal(0, 0.01, 60), strict=True)]


def ask(candidate, incumbent=None, *, correction="holm", **check):
    checks = [CheckRule(**{"metric": "score", **check})]
    return decide(GateRule(name="gate/x", checks=checks, correction=correction), candidate, incumbent)


def only(decision):
    (checked,) = decision.checks
    assert decision.result == checked.result
    return checked.result, checked.reason


@pytest.mark.parametrize(
    ("check", "result", "reason"),
    [
        ({"min": 0.3}, "passed", "the interval ends at"),
        ({"min": 0.6}, "failed", "is below 0.6"),
        ({"min": 0.4}, "inconclusive", "reaches past 0.4"),
        ({"max": 0.6}, "passed", "the interval ends at"),
        ({"max": 0.3}, "failed", "is above 0.3"),
        ({"max": 0.4}, "inconclusive", "reaches past 0.4"),
        ({"min": 0.1, "metric": "skore"}, "error", "no metric 'skore'. Did you mean"),
        ({"max": 0.1, "metric": "cost"}, "error", "no metric 'cost'"),
        ({"min": 0.3, "min_n": 61}, "inconclusive", "60 samples, but min_n is 61"),
        ({"min": 0.3, "min_n": 60}, "passed", ""),
        ({"min": 0.3, "slice": "language"}, "error", "is not a slice"),
        ({"min": 0.3, "slice": "language=de"}, "error", "no sample has a value"),
    ],
)
def test_bounds(check, result, reason):
    got, why = only(ask(evaluated("b", scores=OLD), **check))
    assert (got, reason in why) == (result, True), why


@pytest.mark.parametrize(
    ("candidate", "check", "result", "reason"),
    [
        (GAIN, {"test": "superiority"}, "passed", "better than the incumbent"),
        ([each - 0.2 for each in OLD], {"test": "superiority"}, "failed", "worse than the incumbent"),
        (NOISE, {"test": "superiority"}, "inconclusive", "not shown to be better"),
        (OLD, {"test": "superiority"}, "inconclusive", "all 60 pairs are equal"),
        (GAIN, {"test": "superiority", "min_n": 61}, "inconclusive", "60 pairs, but min_n is 61"),
        (SLIGHT, {"test": "noninferiority", "margin": 0.05}, "passed", "no worse by 0.05"),
        (GAIN, {"test": "noninferiority", "margin": 0.05}, "passed", "no worse by 0.05"),
        ([each - 0.2 for each in NOISE], {"test": "noninferiority", "margin": 0.05}, "failed", "worse by more than 0.05"),
        (NOISE, {"test": "noninferiority", "margin": 0.01}, "inconclusive", "not shown to be no worse"),
        (OLD, {"test": "noninferiority", "margin": 0.1}, "passed", "no worse by 0.1"),
        (OLD, {"test": "noninferiority", "margin": 0.01}, "inconclusive", "not shown to be no worse"),
        (OLD[:3], {"test": "noninferiority", "margin": 0.9}, "inconclusive", "3 pairs cannot show"),
        (GAIN, {"test": "superiority", "metric": "skore"}, "error", "no metric 'skore'"),
        (GAIN, {"test": "superiority", "slice": "a=b"}, "error", "no sample in common in a=b"),
        ([None] * 60, {"test": "superiority"}, "failed", "worse than the incumbent"),
    ],
)
def test_tests_against_the_incumbent(candidate, check, result, reason):
    got, why = only(ask(evaluated("b", scores=candidate), evaluated("a", scores=OLD), **check))
    assert (got, reason in why) == (result, True), why


@pytest.mark.parametrize("test", [{"test": "superiority"}, {"test": "noninferiority", "margin": 0.1}])
def test_without_an_incumbent_or_with_another_scorer_a_test_is_an_error(test):
    assert only(ask(evaluated("b", scores=GAIN), **test)) == (
        "error", "there is no evaluation of the incumbent to test against; give one with --against",
    )  # fmt: skip
    result, reason = only(ask(evaluated("b", scores=GAIN), evaluated("a", scores=OLD, scorer="sha256:other"), **test))
    assert (result, "different versions of the scorer" in reason) == ("error", True)


@pytest.mark.parametrize("candidate", [NOISE, OLD, OLD[:2]])
def test_nothing_shown_keeps_the_incumbent(candidate):
    decision = ask(evaluated("b", scores=candidate), evaluated("a", scores=OLD), test="superiority")
    assert decision.to_json()["incumbent_stays"]
    assert not decision.passed
    assert not ask(evaluated("b", scores=GAIN), evaluated("a", scores=OLD), test="superiority").to_json()["incumbent_stays"]


def test_scores_of_0_and_1_pass_by_wilsons_interval_and_mcnemars_test():
    """58 of 60: Wilson [0.886, 0.991]. 12 discordant pairs, all for b: p = 2 / 2**12."""
    candidate = evaluated("b", scores=[0.0] * 2 + [1.0] * 58, binary=True)
    assert ask(candidate, min=0.88).result == "passed"
    assert ask(candidate, min=0.9).result == "inconclusive"
    incumbent = evaluated("a", scores=[0.0] * 14 + [1.0] * 46, binary=True)
    decision = ask(candidate, incumbent, test="superiority")
    assert decision.result == "passed"
    assert decision.checks[0].p_value == pytest.approx(2 / 2**12)


def test_a_slice_is_held_to_its_own_bound():
    tags = [{"language": "de" if number < 20 else "en"} for number in range(60)]
    scores = [0.2 + number / 1000 for number in range(20)] + [0.9 + number / 1000 for number in range(40)]
    candidate = evaluated("b", scores=scores, metadata=tags)
    assert ask(candidate, min=0.5).result == "passed"
    decision = ask(candidate, min=0.5, slice="language=de")
    assert (decision.result, decision.checks[0].n, decision.checks[0].slice) == ("failed", 20, "language=de")


def test_one_sample_has_no_interval_and_decides_nothing():
    assert only(ask(evaluated("b", scores=[7.0]), min=1.0)) == ("inconclusive", "one sample has no interval")


def test_failed_samples_count_as_the_worst_score_for_a_bound():
    """A candidate that answers only what it can does not pass: 30 of 60 failed, so a mean of 0.9 is one of 0.45."""
    candidate = evaluated("b", scores=[0.9, 0.91] * 15, error=[None] * 30 + ["down"] * 30)
    decision = ask(candidate, min=0.8)
    assert decision.result == "failed"
    assert decision.checks[0].value == pytest.approx(0.4525)
    assert decision.notes == ["30 of 60 runs failed"]
    graded = evaluated("b", scores=[4.0, 5.0] * 15, error=[None] * 30 + ["down"] * 30)
    assert ask(graded, min=4.3).checks[0].value == pytest.approx(4.25)  # the worst seen
    assert ask(candidate, max=0.95).result == "inconclusive"  # a failure is no proof of a low score either


def test_failed_runs_among_replicates_count_too():
    candidate = replicated("b", [[each, None] for each in [0.9, 0.92] * 10])
    assert ask(candidate, min=0.8).checks[0].value == pytest.approx(0.455)


def test_a_sample_without_a_reference_is_no_failure():
    candidate = evaluated("b", scores=[0.9, 0.91] * 15 + [None] * 10)
    assert (ask(candidate, min=0.8).result, ask(candidate, min=0.8).checks[0].n) == ("passed", 30)


def test_failed_samples_count_as_the_worst_score_against_the_incumbent():
    lost = evaluated("b", scores=GAIN[:30], error=[None] * 30 + ["down"] * 30)
    result, _ = only(ask(lost, evaluated("a", scores=OLD), test="superiority"))
    assert result != "passed"
    few = evaluated("b", scores=GAIN[:58], error=[None] * 58 + ["down"] * 2)
    assert ask(few, evaluated("a", scores=OLD), test="superiority").result == "passed"


def test_error_rate_can_be_bounded_when_nothing_failed():
    assert ask(evaluated("b", scores=OLD), metric="error_rate", max=0.07).result == "passed"
    assert ask(evaluated("b", scores=OLD), metric="error_rate", max=0.01).result == "inconclusive"
    assert ask(evaluated("b", error=["down"] * 30), metric="error_rate", max=0.1).result == "failed"


def test_latency_of_reused_rows_decides_nothing():
    reused = evaluated("b", scores=OLD, latency_ms=[10.0 + each for each in range(60)], reused=[True] * 60)
    fresh = evaluated("a", scores=OLD, latency_ms=[10.0 + each for each in range(60)])
    assert only(ask(reused, metric="latency_ms", max=500)) == (
        "inconclusive", "no latency of its own: 60 samples re-used an earlier output or a part of it",
    )  # fmt: skip
    result, reason = only(ask(reused, fresh, metric="latency_ms", test="superiority"))
    assert (result, "re-used" in reason) == ("inconclusive", True)
    assert ask(fresh, metric="latency_ms", max=500).result == "passed"


def test_holm_asks_more_of_each_of_several_tests():
    """Six samples, all better: p = 0.031 alone passes, as one of two it does not."""
    old, new = evaluated("a", scores=OLD[:6]), evaluated("b", scores=GAIN[:6])
    check = CheckRule(metric="score", test="superiority")
    rule = {"name": "gate/x", "checks": [check, check]}
    assert decide(GateRule(name="gate/x", checks=[check]), new, old).result == "passed"
    assert decide(GateRule(**rule, correction="none"), new, old).result == "passed"
    corrected = decide(GateRule(**rule), new, old)
    assert corrected.result == "inconclusive"
    assert [each.p_value for each in corrected.checks] == pytest.approx([0.0625, 0.0625])


def test_holm_leaves_bounds_and_noninferiority_alone():
    old, new = evaluated("a", scores=OLD[:6]), evaluated("b", scores=GAIN[:6])
    checks = [
        CheckRule(metric="score", test="superiority", min=0.2),
        CheckRule(metric="score", test="noninferiority", margin=0.1),
    ]
    decision = decide(GateRule(name="gate/x", checks=checks), new, old)
    assert [each.rule for each in decision.checks] == ["min 0.2", "superiority", "noninferiority margin 0.1"]
    assert [each.result for each in decision.checks][:2] == ["passed", "passed"]


@pytest.mark.parametrize(
    ("results", "whole"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["inconclusive", "error"], "error"),
        (["error", "failed"], "failed"),
        ([], "error"),
    ],
)
def test_the_gates_result_out_of_its_checks(results, whole):
    assert overall(results) == whole


def test_the_json_of_a_decision():
    decision = ask(evaluated("b", scores=GAIN), evaluated("a", scores=OLD), min=0.2, test="superiority")
    shown = decision.to_json()
    assert shown["gate"] == "gate/x"
    assert (shown["result"], shown["evaluation"], shown["against"]) == ("passed", "b", "a")
    assert {"metric", "rule", "value", "interval", "result", "reason", "n", "p_value", "slice"} <= shown["checks"][0].keys()


def test_an_unfinished_evaluation_is_told():
    candidate = evaluated("b", scores=OLD)
    unfinished = type(candidate)(id="b", results=candidate.results, scorers=candidate.scorers, status="cancelled")
    decision = ask(unfinished, min=0.3)
    assert (decision.result, decision.notes) == ("error", ["b is cancelled, not done"])
    assert decision.checks[0].reason == "evaluation b is cancelled, not done"


def test_the_same_outputs_are_no_worse_however_few():
    """Six right answers of six leave room for much, but an application that answers the same is not worse."""
    old = evaluated("a", binary=True, scores=[1.0] * 6, output=["yes"] * 6)
    check = {"test": "noninferiority", "margin": 0.05}
    assert only(ask(evaluated("b", binary=True, scores=[1.0] * 6, output=["yes"] * 6), old, **check)) == (
        "passed", "the same output in all 6 samples",
    )  # fmt: skip
    reworded = evaluated("b", binary=True, scores=[1.0] * 6, output=["yes"] * 5 + ["yes, it is"])
    assert only(ask(reworded, old, **check))[0] == "inconclusive"
    assert only(ask(evaluated("b", binary=True, scores=[1.0] * 5, output=["yes"] * 5), old, **check))[0] == "inconclusive"
