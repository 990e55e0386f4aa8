"""Intervals, tests and effect sizes against SciPy, against published examples and against arithmetic by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tidemill.core.errors import Invalid
from tidemill.evaluation import distributions, statistics

SKEWED = np.random.default_rng(7).exponential(size=40)
DIFFERENCES = np.array([0.3, -0.1, 0.0, 0.25, 0.4, -0.05, 0.1, 0.0, 0.6, 0.2, -0.3, 0.15])


@pytest.mark.parametrize("values", [SKEWED, DIFFERENCES, np.repeat([0.0, 1.0], [30, 5])], ids=["skewed", "paired", "rare"])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_bca_agrees_with_scipy(values, level):
    low, high = statistics.bca_interval(values, level=level, resamples=40_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", confidence_level=level, n_resamples=40_000, rng=np.random.default_rng(1)
    ).confidence_interval
    near = 0.03 * (theirs.high - theirs.low) + 1e-12
    assert low == pytest.approx(theirs.low, abs=near)
    assert high == pytest.approx(theirs.high, abs=near)


def test_bca_is_the_same_for_the_same_seed_and_moves_with_the_data():
    first = statistics.bca_interval(SKEWED, resamples=500, seed=3)
    assert statistics.bca_interval(SKEWED, resamples=500, seed=3) == first
    assert statistics.bca_interval(SKEWED, resamples=500, seed=4) != first
    low, high = statistics.bca_interval(SKEWED * 2 + 1, resamples=500, seed=3)
    assert (low, high) == pytest.approx((first[0] * 2 + 1, first[1] * 2 + 1))


def test_many_values_are_resampled_in_pieces_with_the_same_mean():
    values = np.random.default_rng(0).normal(size=3000)
    means = statistics.bootstrap_means(values, resamples=1000, seed=0)
    assert means.shape == (1000,)
    assert means.std() == pytest.approx(values.std() / math.sqrt(3000), rel=0.1)


@pytest.mark.parametrize("values", [[], [1.0], [0.5, 0.5, 0.5]])
def test_a_bootstrap_of_nothing_that_varies_is_refused(values):
    with pytest.raises(Invalid, match="two values that differ"):
        statistics.bca_interval(np.array(values, dtype=float))


@pytest.mark.parametrize("count", [15, 60])
def test_bca_covers_the_mean_nearly_as_often_as_it_says(count):
    """Exponential data, the textbook's hard case; at 60 values a 90 % interval covers within 5 points, at 15 within 9."""
    generator = np.random.default_rng(20)
    held, runs = 0, 400
    for seed in range(runs):
        low, high = statistics.bca_interval(generator.exponential(size=count), level=0.9, resamples=400, seed=seed)
        held += low <= 1.0 <= high
    assert 0.9 - (0.05 if count == 60 else 0.09) <= held / runs <= 0.94


def test_t_interval_is_scipys():
    theirs = stats.ttest_1samp(SKEWED, 0).confidence_interval(0.95)
    assert statistics.t_interval(SKEWED) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (7, 20), (20, 20), (81, 263), (1, 1)])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_wilson_is_scipys(successes, n, level):
    theirs = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert statistics.wilson_interval(successes, n=n, level=level) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(
    ("cells", "interval"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),  # Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10
        ((1, 1, 7, 12), (-0.507, -0.026)),  # Bentur et al. 2009, in Fagerland et al. 2014
        ((14, 5, 0, 22), (0.011, 0.226)),  # Altman et al. 2000, Statistics with Confidence, table 6.2
    ],
)
def test_newcombes_published_examples(cells, interval):
    """He takes the first minus the second; ours is b - a, so the intervals are mirrored."""
    both, only_first, only_second, neither = cells
    low, high = statistics.newcombe_interval(both, only_a=only_second, only_b=only_first, neither=neither)
    assert (low, high) == pytest.approx(interval, abs=6e-4)
    mirrored = statistics.newcombe_interval(both, only_a=only_first, only_b=only_second, neither=neither)
    assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize("cells", [(10, 0, 0, 0), (0, 0, 0, 10), (0, 10, 0, 0), (5, 0, 0, 5), (1, 0, 0, 0)])
def test_newcombe_stays_within_bounds_where_nothing_varies(cells):
    both, only_a, only_b, neither = cells
    low, high = statistics.newcombe_interval(both, only_a=only_a, only_b=only_b, neither=neither)
    assert -1 <= low <= (only_b - only_a) / sum(cells) <= high <= 1
    assert low < high


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 8), (8, 1), (5, 5), (0, 6), (3, 0), (40, 61)])
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    theirs = stats.binomtest(only_a, only_a + only_b).pvalue
    assert statistics.mcnemar_p(only_a, only_b) == pytest.approx(theirs)


def test_mcnemar_without_a_discordant_pair_shows_nothing():
    assert statistics.mcnemar_p(0, 0) == 1.0


def exact_signed_rank(values):
    """All sign flips of the ranks, for data without ties and zeros."""
    ranks = stats.rankdata(np.abs(values))
    seen = ranks[values > 0].sum()
    sums = [
        sum(rank for rank, up in zip(ranks, flips, strict=True) if up) for flips in itertools.product((0, 1), repeat=len(ranks))
    ]
    total = ranks.sum()
    return sum(each <= min(seen, total - seen) or each >= max(seen, total - seen) for each in sums) / len(sums)


def test_wilcoxon_is_every_flip_of_the_signs():
    values = np.array([1.1, -2.3, 3.7, 4.2, -0.4, 5.9, 6.1])
    assert distributions.wilcoxon_p(values) == pytest.approx(exact_signed_rank(values))


def test_wilcoxon_agrees_with_scipy_and_its_published_example():
    """Zeros are dropped, ties share ranks. The differences are Cureton's plants, as Wilcoxon's test is taught with (n = 15)."""
    plants = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)
    assert distributions.wilcoxon_p(plants) == pytest.approx(0.04126, abs=1e-5)
    for values in (DIFFERENCES, np.array([1.0, 1.0, -1.0, 2.0, 2.0, 0.0, 0.0, 3.0]), SKEWED - 0.7):
        for alternative in ("two-sided", "greater", "less"):
            theirs = stats.wilcoxon(values[values != 0], alternative=alternative).pvalue
            assert distributions.wilcoxon_p(values, alternative=alternative) == pytest.approx(theirs)


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0, 0.0]])
def test_wilcoxon_of_nothing_but_zeros_shows_nothing(values):
    assert distributions.wilcoxon_p(np.array(values)) == 1.0


def test_holm_known_answers():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([0.02]) == [0.02]
    assert statistics.holm([]) == []


def test_rank_biserial_by_hand():
    """|d| ranks 1..4, negative at rank 2: (1 + 3 + 4 - 2) / 10. Ties share a rank, zeros are dropped."""
    assert statistics.rank_biserial(np.array([0.1, -0.2, 0.3, 0.4])) == pytest.approx(0.6)
    assert statistics.rank_biserial(np.array([0.0, 1.0, -1.0])) == 0.0
    assert statistics.rank_biserial(np.array([2.0, 3.0])) == 1.0
    assert statistics.rank_biserial(np.zeros(3)) == 0.0


def test_standardised_difference_by_hand():
    assert statistics.standardised_difference(np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)
    assert statistics.standardised_difference(np.array([1.0, 1.0])) is None
    assert statistics.standardised_difference(np.array([1.0])) is None


def test_what_n_pairs_can_show_and_what_it_takes():
    """(1.96 + 0.84) * 0.5 / sqrt(100), Cohen's table; and the way back."""
    shown = statistics.detectable(0.5, n=100)
    assert shown == pytest.approx(0.1401, abs=1e-4)
    assert statistics.needed(0.5, difference=shown) == 100
    assert statistics.needed(0.5, difference=10.0) == 2


def test_what_may_have_gone_unseen_is_clopper_pearsons():
    theirs = stats.binomtest(0, 30).proportion_ci(0.95, method="exact")
    assert statistics.unseen_share(30) == pytest.approx(theirs.high)


def test_the_distributions_are_scipys():
    assert distributions.normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert distributions.normal_cdf(1.959964) == pytest.approx(0.975, abs=1e-6)
    assert distributions.t_quantile(0.975, degrees=10) == pytest.approx(stats.t.ppf(0.975, 10))
    assert distributions.binomial_cdf(3, n=10, p=0.2) == pytest.approx(stats.binom.cdf(3, 10, 0.2))
