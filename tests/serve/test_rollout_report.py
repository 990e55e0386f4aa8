"""The intervals of a rollout's status: known answers, and their coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from tidemill.serve.rollout_report import (
    Share,
    clustered_share,
    difference_json,
    feedback_summary,
    quantile_ranks,
    share_difference,
    share_interval,
)
from tidemill.store.feedback import Feedback
from tidemill.telemetry.questions.variants import VariantCounts


def counts_of(sizes, failures):
    """As the span store sums them: requests and failures of each asker."""
    sizes, failures = np.asarray(sizes), np.asarray(failures)
    return VariantCounts(
        requests=int(sizes.sum()), errors=int(failures.sum()), askers=len(sizes), requests_squared=int((sizes**2).sum()),
        errors_squared=int((failures**2).sum()), products=int((sizes * failures).sum()),
    )  # fmt: skip


def said(kind, value, name=""):
    return Feedback(project="p", id="x", trace_id="t", span_id=None, kind=kind, value=value, name=name, created_ns=1)


def test_newcombes_own_example():
    """Newcombe 1998, Statistics in Medicine 17, 873-890, table II (a): 56/70 and 48/80, method 10: 0.0524 to 0.3339."""
    low, high = share_difference(Share(successes=56, n=70), Share(successes=48, n=80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("canary", "stable", "verdict"), [(20, 5, "worse"), (5, 20, "better"), (10, 11, "undecided")])
def test_a_verdict_needs_an_interval_without_zero(canary, stable, verdict):
    found = difference_json(Share(successes=canary, n=100), Share(successes=stable, n=100), more_is_better=False)
    assert found["verdict"] == verdict
    other = {"worse": "better", "better": "worse", "undecided": "undecided"}[verdict]
    found = difference_json(Share(successes=canary, n=100), Share(successes=stable, n=100), more_is_better=True)
    assert found["verdict"] == other


def test_nothing_is_said_of_nothing():
    none = Share(successes=0, n=0)
    assert (none.value, share_interval(none)) == (None, None)
    assert difference_json(none, Share(successes=1, n=9), more_is_better=True) is None
    assert clustered_share(VariantCounts()).to_json() == {"value": None, "interval": None, "n": 0}
    assert feedback_summary([]) == {"thumbs_up": None, "scores": {}, "corrections": 0, "comments": 0}


@pytest.mark.parametrize("quantile", [0.5, 0.95])
@pytest.mark.parametrize("n", [6, 20, 100, 1000])
def test_the_ranks_cover_the_quantile(n, quantile):
    """Exactly, by the binomial distribution; and no shorter pair of ranks at these ends would."""
    ranks = quantile_ranks(n, quantile)
    below = stats.binom(n, quantile)
    if ranks.low is not None and ranks.high is not None:
        assert below.cdf(ranks.high - 1) - below.cdf(ranks.low - 1) >= 0.95
        assert below.cdf(ranks.low) > 0.025
        assert below.cdf(ranks.high - 2) < 0.975
        assert ranks.low <= ranks.at <= ranks.high
    assert 1 <= ranks.at <= n


def test_a_few_values_have_no_interval_of_their_95th_percentile():
    assert quantile_ranks(50, 0.95).high is None
    assert quantile_ranks(1, 0.5) == quantile_ranks(1, 0.5, level=0.99)
    assert quantile_ranks(1, 0.5).at == 1


def test_users_who_fail_as_one_count_as_one():
    sizes, failures = [10] * 20, [10] * 5 + [0] * 15
    share = clustered_share(counts_of(sizes, failures))
    assert (share.value, share.n) == (0.25, 200)
    assert share.effective == pytest.approx(19, abs=1.1)
    assert clustered_share(counts_of([1] * 200, [1] * 50 + [0] * 150)).effective == pytest.approx(199, abs=1.1)
    assert clustered_share(counts_of([10] * 20, [0] * 20)).effective == 20


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """800 rollouts of 60 users with 1 to 9 requests, whose own failure rates differ: covered 95 times in 100, not 80."""
    generator = np.random.default_rng(7)
    covered = naive = 0
    for _ in range(800):
        sizes = generator.integers(1, 10, 60)
        failures = generator.binomial(sizes, generator.beta(0.6, 2.4, 60))  # mean 0.2
        share = clustered_share(counts_of(sizes, failures))
        low, high = share_interval(share)
        covered += low <= 0.2 <= high
        low, high = share_interval(Share(successes=share.successes, n=share.n))
        naive += low <= 0.2 <= high
    assert covered / 800 > 0.93
    assert naive / 800 < 0.85  # what it would be if a user's requests counted as if they were strangers'


def test_feedback_is_summed_by_kind_and_name():
    found = feedback_summary(
        [
            *[said("thumbs", "up")] * 3, said("thumbs", "down"), said("score", 1, "a"), said("score", 0.0, "a"),
            said("score", 0.5, "b"), said("correction", "x"), said("comment", "y"), said("event", None, "copied"),
        ]
    )  # fmt: skip
    assert (found["thumbs_up"]["value"], found["thumbs_up"]["n"]) == (0.75, 4)
    assert (found["scores"]["a"]["value"], found["scores"]["b"]["interval"]) == (0.5, None)
    assert (found["corrections"], found["comments"]) == (1, 1)
