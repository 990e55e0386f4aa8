"""Comparisons of two evaluations, sample by sample: the figures, the words, and what is left undecided."""

import numpy as np
import pytest

from evaluation.made import evaluated, replicated
from tidemill.core.errors import Invalid
from tidemill.evaluation.compare import compare
from tidemill.evaluation.results import Slice, parse_slice

GENERATOR = np.random.default_rng(5)
BASE = list(GENERATOR.uniform(0.2, 0.6, size=40))
BETTER = [each + 0.2 + 0.1 * float(GENERATOR.uniform()) for each in BASE]


def of(a, b, metric="score", **options):
    return compare(a, b, **{"resamples": 500, **options})["metrics"][metric]


def test_a_clear_gain_is_better_with_its_figures():
    shown = of(evaluated("a", scores=BASE), evaluated("b", scores=BETTER))
    assert shown["verdict"] == "better"
    assert shown["test"] == "wilcoxon_signed_rank"
    assert shown["difference"] == pytest.approx(np.mean(BETTER) - np.mean(BASE))
    assert shown["interval"][0] <= shown["difference"] <= shown["interval"][1]
    assert shown["effect"] == {"name": "rank_biserial", "value": pytest.approx(1.0)}
    assert (shown["n"], len(shown["better"]), shown["worse"]) == (40, 40, [])
    assert shown["p_value"] < 0.001


def test_the_other_way_round_is_worse():
    shown = of(evaluated("a", scores=BETTER), evaluated("b", scores=BASE))
    assert shown["verdict"] == "worse"
    assert shown["difference"] < 0


def test_samples_that_moved_are_named_the_largest_change_first():
    shown = of(evaluated("a", scores=[0.5, 0.5, 0.5, 0.5]), evaluated("b", scores=[0.6, 0.9, 0.5, 0.1]))
    assert shown["better"] == ["s1", "s0"]
    assert shown["worse"] == ["s3"]


def test_scores_of_0_and_1_get_mcnemar_and_newcombe():
    a, b = [0.0] * 12 + [1.0] * 28, [1.0] * 11 + [0.0] + [1.0] * 28
    shown = of(evaluated("a", scores=a, binary=True), evaluated("b", scores=b, binary=True))
    assert shown["test"] == "mcnemar_exact"
    assert shown["p_value"] == pytest.approx(2 * 0.5**11)
    assert shown["verdict"] == "better"
    assert shown["interval"] == pytest.approx([0.1392, 0.4213], abs=0.03)


def test_replicates_are_averaged_before_they_are_paired():
    """40 samples with 3 runs each are 40 pairs, not 120."""
    a = replicated("a", [[each, each, each] for each in BASE])
    b = replicated("b", [[each, each + 0.01, each - 0.01] for each in BASE])
    assert of(a, b)["n"] == 40
    assert of(a, b)["difference"] == pytest.approx(0.0, abs=1e-12)


def test_lower_is_better_for_latency_and_errors():
    a, b = (
        evaluated("a", latency_ms=[100.0 + each for each in range(20)]),
        evaluated("b", latency_ms=[50.0 + each for each in range(20)]),
    )
    shown = of(a, b, "latency_ms")
    assert (shown["verdict"], shown["direction"], len(shown["better"])) == ("better", "lower", 20)
    a, b = evaluated("a", scores=[1.0] * 20), evaluated("b", scores=[1.0] * 20, error=["down"] * 15)
    shown = of(a, b, "error_rate")
    assert (shown["verdict"], shown["test"], shown["difference"]) == ("worse", "mcnemar_exact", 0.75)


def test_latency_of_a_reused_row_never_enters_a_comparison():
    a = evaluated("a", scores=[1.0] * 12, latency_ms=[100.0] * 12)
    b = evaluated("b", scores=[1.0] * 12, latency_ms=[1.0] * 12, reused=[True] * 12)
    assert "latency_ms" not in compare(a, b)["metrics"]
    shown = of(a, b, "latency_ms", metrics=["latency_ms"])
    assert (shown["n"], shown["verdict"]) == (0, "undecided")
    assert "re-used" in shown["reason"]
    half = evaluated("b", scores=[1.0] * 12, latency_ms=[1.0] * 6 + [90.0] * 6, reused=[True] * 6 + [False] * 6)
    whole = compare(a, half, resamples=500)
    assert (whole["metrics"]["latency_ms"]["n"], whole["metrics"]["latency_ms"]["a"]) == (6, 100.0)
    assert whole["notes"] == ["6 samples re-used an earlier output or a part of it; their latency is not compared"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_pairs_decide_nothing(count):
    shown = of(evaluated("a", scores=[0.0] * count), evaluated("b", scores=[1.0] * count))
    assert shown["verdict"] == "undecided"
    assert shown["needed"] == 6


def test_no_difference_found_is_not_shown_to_be_the_same():
    """Equal in all 30: a difference in one pair of eight could have gone unseen, and the reason says so."""
    a, b = evaluated("a", scores=[0.5] * 30), evaluated("b", scores=[0.5] * 30)
    shown = of(a, b)
    assert (shown["verdict"], shown["p_value"], shown["difference"]) == ("undecided", 1.0, 0.0)
    assert shown["interval"] == pytest.approx([-0.1157, 0.1157], abs=1e-4)
    assert "all 30 pairs are equal" in shown["reason"]
    assert of(a, b, margins={"score": 0.2})["verdict"] == "equivalent"
    assert of(a, b, margins={"score": 0.05})["verdict"] == "undecided"


def test_ties_and_noise_are_undecided_and_say_what_it_would_take():
    noise = [each + float(move) for each, move in zip(BASE, np.random.default_rng(1).normal(0, 0.1, size=40), strict=True)]
    shown = of(evaluated("a", scores=BASE), evaluated("b", scores=noise), margins={"score": 0.01})
    assert shown["verdict"] == "undecided"
    assert shown["needed"] > 40
    assert "take" in shown["reason"]


def test_a_margin_tells_no_worse_from_equivalent():
    base = [0.5] * 60
    moves = np.random.default_rng(3).normal(0.0, 0.02, size=60)
    same = evaluated("b", scores=[0.5 + float(each - moves.mean()) for each in moves])
    assert of(evaluated("a", scores=base), same, margins={"score": 0.05})["verdict"] == "equivalent"
    up = evaluated("b", scores=[0.5 + 0.3 * (-1) ** each + 0.05 for each in range(60)])
    assert of(evaluated("a", scores=base), up, margins={"score": 0.1})["verdict"] == "no_worse"


def test_samples_lost_on_the_new_side_cannot_make_it_better():
    """b answers only what it can: better on those 20, but with the other 20 as 0 it is not."""
    lost = evaluated("b", scores=[*BETTER[:20]], error=[None] * 20 + ["refused"] * 20)
    shown = of(evaluated("a", scores=BASE), lost)
    assert shown["verdict"] == "undecided"
    assert "20 samples failed on the new side" in shown["reason"]
    assert shown["failed"] == {"a": [], "b": [f"s{each}" for each in range(20, 40)]}
    few = evaluated("b", scores=[*BETTER[:39]], error=[None] * 39 + ["refused"])
    assert of(evaluated("a", scores=BASE), few)["verdict"] == "better"


def test_runs_lost_in_some_replicates_cannot_make_it_better_either():
    a = replicated("a", [[each, each] for each in BASE])
    b = replicated("b", [[each, None] for each in BETTER])
    shown = of(a, b)
    assert shown["verdict"] == "undecided"
    assert "40 samples failed on the new side" in shown["reason"]


def test_samples_lost_on_the_old_side_are_told_and_left_out():
    old = evaluated("a", scores=BASE[:30], error=[None] * 30 + ["down"] * 10)
    shown = of(old, evaluated("b", scores=BETTER))
    assert (shown["n"], shown["verdict"], len(shown["failed"]["a"])) == (30, "better", 10)


def test_a_metric_missing_on_both_sides_decides_nothing():
    a, b = evaluated("a", scores=[None] * 8), evaluated("b", scores=[None] * 8)
    shown = of(a, b)
    assert (shown["n"], shown["difference"], shown["interval"], shown["verdict"]) == (0, None, None, "undecided")


def test_no_shared_sample_is_refused():
    other = evaluated("b", scores=[None, None, 0.5])
    a = evaluated("a", scores=[0.5])
    other = type(other)(id="b", results=other.results[2:], scorers=other.scorers)
    with pytest.raises(Invalid, match="no sample in common"):
        compare(a, other)


def test_the_same_id_with_other_content_is_another_sample():
    a, b = evaluated("a", scores=[0.5] * 8), evaluated("b", scores=[0.5] * 8)
    moved = type(b)(
        id="b",
        scorers=b.scorers,
        results=[*b.results[:7], type(b.results[7])(sample="s7", digest="new", scores={"score": 1.0})],
    )
    whole = compare(a, moved)
    assert whole["metrics"]["score"]["n"] == 7
    assert whole["notes"] == ["7 samples are in both; 8 in the first, 8 in the second"]


def test_different_scorers_are_not_compared():
    shown = of(evaluated("a", scores=BASE), evaluated("b", scores=BETTER, scorer="sha256:other"))
    assert (shown["verdict"], shown["n"], shown["interval"]) == ("undecided", 0, None)
    assert "two different versions of the scorer" in shown["reason"]


def test_holm_is_over_the_metrics():
    def with_two(name, first, second):
        one, two = evaluated(name, scores=first), evaluated(name, scores=second, metric="other")
        results = [
            type(x)(sample=x.sample, digest=x.digest, scores={**x.scores, **y.scores})
            for x, y in zip(one.results, two.results, strict=True)
        ]
        return type(one)(id=name, results=results, scorers={"score": "s", "other": "o"})

    a, b = with_two("a", BASE[:6], BASE[:6]), with_two("b", BETTER[:6], BETTER[:6])  # p = 2 / 2**6 each
    alone, together = (compare(a, b, correction=each, resamples=500)["metrics"]["score"] for each in ("none", "holm"))
    assert alone["p_corrected"] is None
    assert together["p_corrected"] == pytest.approx(min(1.0, 2 * alone["p_value"]))
    assert (alone["verdict"], together["verdict"]) == ("better", "undecided")


def test_a_slice_compares_only_its_samples():
    tags = [{"language": "de" if number % 2 else "en", "hard": number < 20} for number in range(40)]
    a, b = evaluated("a", scores=BASE, metadata=tags), evaluated("b", scores=BETTER, metadata=tags)
    assert of(a, b, within=parse_slice("language=de"))["n"] == 20
    assert of(a, b, within=Slice(field="hard", value="true"))["n"] == 20
    with pytest.raises(Invalid, match=r"no sample in common in language=fr"):
        compare(a, b, within=parse_slice("language=fr"))


@pytest.mark.parametrize("text", ["language", "=de", "language=", ""])
def test_a_bad_slice_is_refused(text):
    with pytest.raises(Invalid, match="is not a slice"):
        parse_slice(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["scor"]}, "'scor' is not in both"),
        ({"margins": {"scor": 0.1}}, "'scor' is not in both"),
        ({"margins": {"score": 0}}, "above 0"),
        ({"margins": {"score": float("nan")}}, "above 0"),
        ({"alpha": 1.0}, "alpha is between 0 and 1"),
    ],
)
def test_wrong_questions_are_refused(options, message):
    with pytest.raises(Invalid, match=message):
        compare(evaluated("a", scores=BASE), evaluated("b", scores=BETTER), **options)


def test_the_same_question_has_the_same_answer():
    a, b = evaluated("a", scores=BASE), evaluated("b", scores=BETTER)
    assert compare(a, b, resamples=200) == compare(a, b, resamples=200)
    assert of(a, b, seed=1)["interval"] != of(a, b, seed=2)["interval"]


@pytest.mark.parametrize("kind", ["unit", "binary", "graded"])
def test_two_runs_of_the_same_are_seldom_called_different(kind):
    """A against A': the share of better and worse verdicts stays near alpha, in 300 comparisons of 30 samples."""
    generator = np.random.default_rng(11)
    called, runs = 0, 300
    for _ in range(runs):
        hard = generator.uniform(0.2, 0.9, size=30)
        if kind == "binary":
            a, b = ((generator.uniform(size=30) < hard).astype(float) for _ in range(2))
        elif kind == "graded":
            a, b = (np.round(5 * np.clip(hard + generator.normal(0, 0.2, 30), 0, 1)) for _ in range(2))
        else:
            a, b = (np.clip(hard + generator.normal(0, 0.2, 30), 0, 1) for _ in range(2))
        sides = [evaluated(name, scores=list(map(float, each)), binary=kind == "binary") for name, each in (("a", a), ("b", b))]
        called += of(*sides, resamples=150)["verdict"] in {"better", "worse"}
    assert called / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


def test_a_worse_version_is_seldom_called_no_worse():
    """Worse by exactly the margin: "no worse" must come up in at most alpha / 2 of the comparisons."""
    generator = np.random.default_rng(12)
    called, runs = 0, 300
    for _ in range(runs):
        a = generator.uniform(0.3, 0.7, size=40)
        b = a - 0.1 + generator.normal(0, 0.1, size=40)
        sides = evaluated("a", scores=list(map(float, a))), evaluated("b", scores=list(map(float, b)))
        called += of(*sides, resamples=150, margins={"score": 0.1})["verdict"] in {"no_worse", "equivalent", "better"}
    assert called / runs <= 0.025 + 2 * (0.025 * 0.975 / runs) ** 0.5
