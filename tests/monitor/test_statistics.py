"""Statistics against SciPy and plain NumPy, and p-values that are uniform when nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tidemill.monitor.mmd import median_gamma, mmd_statistics, mmd_test, observed_and_permuted, rank_p_value, witness
from tidemill.monitor.tests import Categories, Embedded, Presence, Ranked, fisher_table, share_difference


def plain_mmd(x, y, gamma: float) -> float:
    pooled = np.concatenate([x, y]).astype(np.float64)
    kernel = np.exp(-gamma * ((pooled[:, None] - pooled[None]) ** 2).sum(-1))
    np.fill_diagonal(kernel, 0)
    n, m = len(x), len(y)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return within - 2 * kernel[:n, n:].mean()


@pytest.mark.parametrize(("n", "m"), [(2, 2), (30, 70), (700, 900)])  # one tile, and several
def test_mmd_is_that_of_the_plain_formula_for_every_labeling(n: int, m: int) -> None:
    generator = np.random.default_rng(n)
    rows = generator.normal(size=(n + m, 6)).astype(np.float32)
    labels = observed_and_permuted(n, m, permutations=3, seed=1)
    gamma = median_gamma(rows)
    found = mmd_statistics(rows, labels, gamma=gamma)
    for place in range(4):
        first = labels[:, place] == 1
        assert found[place] == pytest.approx(plain_mmd(rows[first], rows[~first], gamma), abs=2e-6)


def test_the_width_is_the_median_distance() -> None:
    rows = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)  # distances 1, 2, 3
    assert median_gamma(rows) == pytest.approx(1 / (2 * 2**2))
    assert median_gamma(np.zeros((5, 3), dtype=np.float32)) > 0


def test_the_witness_is_large_where_the_second_sample_is() -> None:
    rows = np.array([[0.0], [0.1], [5.0], [5.1]], dtype=np.float32)
    found = witness(rows, np.array([1, 1, 0, 0], dtype=np.float32), gamma=1.0)
    assert (found[:2] < 0).all()
    assert (found[2:] > 0).all()


def test_ranked_is_the_kolmogorov_smirnov_statistic_also_with_ties() -> None:
    values = np.random.default_rng(0).integers(0, 9, 120).astype(np.float64)
    labels = observed_and_permuted(50, 70, permutations=1, seed=0)
    assert Ranked(values).statistics(labels)[0] == pytest.approx(stats.ks_2samp(values[:50], values[50:]).statistic)


def test_categories_are_pearsons_chi_square_and_fishers_test() -> None:
    labels = observed_and_permuted(40, 60, permutations=1, seed=0)
    names = np.random.default_rng(1).integers(0, 4, 100)
    table = [[int((names[part] == each).sum()) for each in range(4)] for part in (slice(40), slice(40, None))]
    assert Categories.of(names).statistics(labels)[0] == pytest.approx(stats.chi2_contingency(table, correction=False)[0])
    two = (names > 1).astype(np.int64)
    table = [[int((two[part] == each).sum()) for each in range(2)] for part in (slice(40), slice(40, None))]
    exact = Categories.of(two).p_values(labels[:, :1], np.zeros(1))[0]
    assert exact == pytest.approx(stats.fisher_exact(table)[1])


@pytest.mark.parametrize(("n", "total", "marked"), [(1, 2, 1), (10, 30, 0), (10, 30, 30), (12, 20, 15), (300, 1000, 40)])
def test_fishers_table_is_scipys(n: int, total: int, marked: int) -> None:
    table = fisher_table(n, total, marked)
    for held in range(max(0, n - (total - marked)), min(n, marked) + 1):
        expected = stats.fisher_exact([[held, n - held], [marked - held, total - n - marked + held]])[1]
        assert table[held] == pytest.approx(expected, rel=1e-6)


def test_words_that_all_or_none_hold_say_nothing() -> None:
    labels = observed_and_permuted(5, 5, permutations=9, seed=0)
    same = np.stack([np.ones(10), np.zeros(10)], axis=1).astype(np.float32)
    assert (Presence(same).statistics(labels) == 0).all()


def test_one_word_is_pearsons_chi_square() -> None:
    held = np.random.default_rng(2).integers(0, 2, (60, 1)).astype(np.float32)
    labels = observed_and_permuted(20, 40, permutations=1, seed=0)
    table = [[int(held[part].sum()), len(held[part]) - int(held[part].sum())] for part in (slice(20), slice(20, None))]
    assert Presence(held).statistics(labels)[0] == pytest.approx(stats.chi2_contingency(table, correction=False)[0])


def test_newcombes_interval_is_the_published_one() -> None:
    """Newcombe 1998, table II, method 10: 56/70 less 48/80 is [0.0524, 0.3339]."""
    low, high = share_difference(48, 80, 56, 70)
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


def test_a_p_value_counts_the_observed_labeling() -> None:
    assert rank_p_value(1.0, np.zeros(99)) == pytest.approx(0.01)
    assert rank_p_value(0.0, np.zeros(99)) == 1.0


FEATURES = {
    "tokens": lambda generator, n: Ranked(generator.poisson(8, n).astype(np.float64)),
    "words": lambda generator, n: Presence((generator.random((n, 12)) < 0.2).astype(np.float32)),
    "topics": lambda generator, n: Categories.of(generator.integers(0, 5, n)),
    "embeddings": lambda generator, n: Embedded(generator.normal(size=(n, 5)).astype(np.float32), 0.1),
}


@pytest.mark.parametrize("name", FEATURES)
def test_p_values_are_uniform_under_the_null(name: str) -> None:
    p_values = []
    for seed in range(300):
        feature = FEATURES[name](np.random.default_rng(seed), 60)
        labels = observed_and_permuted(30, 30, permutations=99, seed=seed)
        statistics = feature.statistics(labels)
        p_values.append(rank_p_value(float(statistics[0]), statistics[1:]))
    found = np.array(p_values)
    for level in (0.05, 0.1, 0.25, 0.5):  # valid at every level, ties only make it rarer
        allowed = level + 3.5 * (level * (1 - level) / len(found)) ** 0.5
        assert (found <= level).mean() <= allowed, level
    if name == "embeddings":  # without ties exactly uniform
        assert stats.kstest(found, "uniform").pvalue > 0.001


def test_mmd_finds_a_shift_of_mean_and_of_spread() -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=(100, 8)).astype(np.float32)
    assert mmd_test(x, generator.normal(0.6, 1, (100, 8)).astype(np.float32), permutations=199).p_value == 0.005
    assert mmd_test(x, generator.normal(0, 2, (100, 8)).astype(np.float32), permutations=199).p_value == 0.005
    assert mmd_test(x, generator.normal(size=(100, 8)).astype(np.float32), permutations=199).p_value > 0.05
