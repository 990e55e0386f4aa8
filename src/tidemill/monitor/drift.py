"""Whether a window of texts differs from a reference: several tests, one decision held to one false-alarm rate.

The tests share their permutations, and Holm's correction keeps the chance that any of them alarms without cause at `alpha`.
How often the whole decision would alarm on this very reference is found by splitting it at random, again and again.
Pure: texts and vectors in, a result out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from tidemill.evaluation.statistics import Interval, holm, wilson_interval
from tidemill.monitor.mmd import Places, Rows, Values, median_gamma, observed_and_permuted, random_labels
from tidemill.monitor.tests import Categories, Embedded, Feature, Presence, Ranked
from tidemill.monitor.texts import count_tokens, word_matrix, words
from tidemill.monitor.topics import cluster, topic_count

Verdict: TypeAlias = Literal["drift", "no_drift_shown", "undecidable"]
TESTS: Final = ("tokens", "vocabulary", "language", "topics", "embeddings")
_BATCH: Final = 500
_MOST_WORDS: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """The texts of a reference or a window; `rows` are their embeddings of length 1, (N, d); `languages` one a text."""

    texts: Sequence[str]
    rows: Rows | None = None
    languages: Sequence[str] | None = None

    @property
    def n(self) -> int:
        """How many texts."""
        return len(self.texts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to decide. `alpha` is the false-alarm rate of the whole decision; `least` texts on either side decide nothing.

    `simulations` splits of the reference measure the rate; 0 leaves that out.
    """

    alpha: float = 0.05
    permutations: int = 999
    simulations: int = 1000
    least: int = 20
    tests: Sequence[str] = TESTS
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """One test. `p_corrected` is Holm's over all that were made; `alarm` says that it is below alpha."""

    name: str
    method: str
    statistic: float
    p_value: float
    p_corrected: float
    alarm: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarms:
    """Among `splits` of the reference into `sizes`, the share that alarmed, with its 95 % interval."""

    rate: float
    interval: Interval
    splits: int
    sizes: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """The decision. `p_value` is the smallest corrected one, None when undecidable; `left_out` says why a test was not made.

    `topics` is each text's topic, the reference's first; None without embeddings.
    """

    verdict: Verdict
    reason: str
    p_value: float | None = None
    tests: Sequence[Tested] = ()
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    false_alarms: FalseAlarms | None = None
    topics: Sequence[int] | None = None
    gamma: float | None = None

    @property
    def alarm(self) -> bool:
        """Whether drift was found."""
        return self.verdict == "drift"


def detect_drift(
    reference: Side, window: Side, *, options: Options = Options(), without: Mapping[str, str] | None = None
) -> Drift:
    """Test the window against the reference. Too few texts on either side are undecidable, and never an alarm.

    `without` names tests that cannot be made, with the reason.
    """
    left_out = dict(without or {})
    for name, side in (("the window", window), ("the reference", reference)):
        if side.n < options.least:
            reason = f"{name} has {side.n} {'text' if side.n == 1 else 'texts'}; fewer than {options.least} decide nothing"
            return Drift(verdict="undecidable", reason=reason, left_out=left_out)
    pooled = _pooled(reference, window)
    topics = cluster(pooled.rows, topic_count(pooled.n), seed=options.seed) if pooled.rows is not None else None
    features = features_of(pooled, options=options, topics=topics, left_out=left_out)
    if not features:
        return Drift(verdict="undecidable", reason="no test could be made", left_out=left_out)
    labels = observed_and_permuted(reference.n, window.n, permutations=options.permutations, seed=options.seed)
    tested = _decide(features, labels, alpha=options.alpha)
    smallest = min(each.p_corrected for each in tested)
    shown = [each.name for each in tested if each.alarm]
    gamma = next((each.gamma for each in features.values() if isinstance(each, Embedded)), None)
    return Drift(
        verdict="drift" if shown else "no_drift_shown",
        reason=f"shown by {', '.join(shown)}" if shown else f"smallest corrected p = {smallest:.2g}",
        p_value=smallest,
        tests=tested,
        left_out=left_out,
        false_alarms=false_alarm_rate(reference, share=reference.n / pooled.n, options=options, without=left_out),
        topics=None if topics is None else [int(each) for each in topics],
        gamma=gamma,
    )


def features_of(pooled: Side, *, options: Options, topics: Places | None, left_out: dict[str, str]) -> dict[str, Feature]:
    """What is tested, by the test's name; `left_out` is told what cannot be."""
    found: dict[str, Feature] = {}
    split = [words(each) for each in pooled.texts]
    if "tokens" in options.tests:
        found["tokens"] = Ranked(np.array([count_tokens(each) for each in pooled.texts], dtype=np.float64))
    if "vocabulary" in options.tests:
        found["vocabulary"] = Presence(word_matrix(split, most=_MOST_WORDS)[1])
    if "language" in options.tests and "language" not in left_out:
        if pooled.languages is None:
            left_out["language"] = "languages were not told"
        else:
            found["language"] = Categories.of(pooled.languages)
    if pooled.rows is None or topics is None:
        for name in ("topics", "embeddings"):
            if name in options.tests:
                left_out.setdefault(name, "there are no embeddings")
        return found
    if "topics" in options.tests:
        found["topics"] = Categories.of(np.asarray(topics, dtype=np.int64))
    if "embeddings" in options.tests:
        found["embeddings"] = Embedded(pooled.rows, median_gamma(pooled.rows, seed=options.seed))
    return found


def false_alarm_rate(
    reference: Side, *, share: float, options: Options, without: Mapping[str, str] | None = None
) -> FalseAlarms | None:
    """How often the whole decision alarms when nothing changed: on splits of the reference, whose parts keep the sizes' ratio.

    None when the reference is too small to be split or no splits are asked for. The permuted statistics are made once, five
    times as many as a decision uses, so that what all splits share adds nothing that matters to the interval.
    """
    n = min(max(round(reference.n * share), options.least), reference.n - options.least)
    if n < options.least or not options.simulations:
        return None
    topics = cluster(reference.rows, topic_count(reference.n), seed=options.seed) if reference.rows is not None else None
    features = features_of(reference, options=options, topics=topics, left_out=dict(without or {}))
    m = reference.n - n
    splits = random_labels(n, m, draws=options.simulations, seed=options.seed + 1)
    drawn = 5 * options.permutations
    p_values: list[Values] = []
    for feature in features.values():
        null = np.concatenate(
            [
                feature.statistics(random_labels(n, m, draws=min(_BATCH, drawn - start), seed=options.seed + 2 + start))
                for start in range(0, drawn, _BATCH)
            ]
        )
        p_values.append(feature.p_values(splits, null))
    alarms = int(
        (len(p_values) * np.min(p_values, axis=0) < options.alpha).sum()
    )  # Holm's first step decides whether any is shown
    interval = wilson_interval(alarms, n=options.simulations)
    return FalseAlarms(rate=alarms / options.simulations, interval=interval, splits=options.simulations, sizes=(n, m))


def _decide(features: Mapping[str, Feature], labels: Rows, *, alpha: float) -> list[Tested]:
    found: list[tuple[str, Feature, float, float]] = []
    for name, feature in features.items():
        statistics = feature.statistics(labels)
        p_value = float(feature.p_values(labels[:, :1], statistics[1:])[0])
        found.append((name, feature, float(statistics[0]), p_value))
    corrected = holm([p for *_, p in found])
    return [
        Tested(name=name, method=_method(feature), statistic=statistic, p_value=p, p_corrected=adjusted, alarm=adjusted < alpha)
        for (name, feature, statistic, p), adjusted in zip(found, corrected, strict=True)
    ]


def _method(feature: Feature) -> str:
    match feature:
        case Ranked():
            return "Kolmogorov-Smirnov, permutation"
        case Presence():
            return "chi-square over words, permutation"
        case Categories(members=members):
            return "Fisher, exact" if members.shape[1] <= 2 else "chi-square, permutation"
        case _:
            return "MMD, permutation"


def _pooled(reference: Side, window: Side) -> Side:
    rows = np.concatenate([reference.rows, window.rows]) if reference.rows is not None and window.rows is not None else None
    known = reference.languages is not None and window.languages is not None
    return Side(
        texts=[*reference.texts, *window.texts],
        rows=rows,
        languages=[*reference.languages, *window.languages] if known else None,  # pyright: ignore[reportOptionalIterable]
    )
