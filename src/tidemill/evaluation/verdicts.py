"""What a measured difference lets one say, in one of five words and a sentence.

- better, worse: the interval of the difference excludes 0 and p < alpha. Both are asked for. Of latency, the interval must
  lie beyond what the hour alone can do to a whole run (`Pairs.drift`).
- equivalent, no_worse: only with a margin. The interval lies within the margin on both sides, or above it on the bad side;
  for scores that are not 0 or 1 the signed-rank test against the margin must agree at alpha / 2.
- undecided: everything else, with what as many samples could have shown and how many it would take.

A favourable word must also stand when samples that only the new side failed to score are counted as the worst score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tidemill.evaluation import distributions, statistics
from tidemill.evaluation.paired import FEWEST, Measured, Pairs, measure
from tidemill.evaluation.results import LATENCY, is_score
from tidemill.evaluation.wording import count, plain

Word: TypeAlias = Literal["better", "worse", "no_worse", "equivalent", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A word, why, and how many pairs would settle it (None when that cannot be said)."""

    word: Word
    reason: str
    needed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facing:
    """A measured difference turned so that more is better: b's gain over a."""

    low: float
    high: float
    p_value: float

    @classmethod
    def of(cls, pairs: Pairs, measured: Measured) -> Facing | None:
        """None where too few pairs tell anything."""
        if measured.interval is None or measured.p_value is None or measured.n < FEWEST:
            return None
        ends = sorted(pairs.sign * each for each in measured.interval)
        return cls(low=ends[0], high=ends[1], p_value=measured.p_value)


def shows_better(pairs: Pairs, measured: Measured, *, p_value: float | None = None) -> bool:
    """Whether b is shown to be better than a at the measured alpha; `p_value` replaces the measured one when corrected."""
    facing = Facing.of(pairs, measured)
    return facing is not None and facing.low > pairs.drift and _p(facing, p_value) < measured.alpha


def shows_worse(pairs: Pairs, measured: Measured, *, p_value: float | None = None) -> bool:
    """Whether b is shown to be worse than a at the measured alpha."""
    facing = Facing.of(pairs, measured)
    return facing is not None and facing.high < -pairs.drift and _p(facing, p_value) < measured.alpha


def shows_no_worse(pairs: Pairs, measured: Measured, *, margin: float) -> bool:
    """Whether b is shown to be worse by less than `margin`, one-sided at alpha / 2."""
    facing = Facing.of(pairs, measured)
    if facing is None or facing.low <= -margin:
        return False
    if pairs.counts is not None:
        return True
    gains = pairs.differences * pairs.sign + margin
    return distributions.wilcoxon_p(gains, alternative="greater") < measured.alpha / 2


def shows_equivalent(pairs: Pairs, measured: Measured, *, margin: float) -> bool:
    """Whether b is shown to differ by less than `margin` either way."""
    facing = Facing.of(pairs, measured)
    if facing is None or facing.high >= margin or not shows_no_worse(pairs, measured, margin=margin):
        return False
    if pairs.counts is not None:
        return True
    losses = margin - pairs.differences * pairs.sign
    return distributions.wilcoxon_p(losses, alternative="greater") < measured.alpha / 2


def _p(facing: Facing, corrected: float | None) -> float:
    return facing.p_value if corrected is None else corrected


def decide_verdict(
    pairs: Pairs, measured: Measured, *, margin: float | None = None, p_value: float | None = None, resamples: int, seed: int
) -> Verdict:
    """The verdict on b against a. `p_value` is the corrected one when several metrics are asked about."""
    verdict = _word(pairs, measured, margin=margin, p_value=p_value)
    if verdict.word in {"undecided", "worse"} or not pairs.failed or not is_score(pairs.metric):
        return verdict
    worst = pairs.at_worst()
    again = _word(worst, measure(worst, alpha=measured.alpha, resamples=resamples, seed=seed), margin=margin, p_value=None)
    if again.word == verdict.word:
        return verdict
    because = f"{count(pairs.failed, 'sample')} failed on the new side; counted as the worst score, this is"
    if again.word in {"no_worse", "equivalent"}:
        return Verdict(word="no_worse", reason=f"{again.reason}; {because} not {verdict.word}")
    return Verdict(word="undecided", reason=f"{because} not {verdict.word.replace('_', ' ')}")


def _word(pairs: Pairs, measured: Measured, *, margin: float | None, p_value: float | None) -> Verdict:
    if shows_better(pairs, measured, p_value=p_value):
        return Verdict(word="better", reason=_tested(measured, p_value))
    if shows_worse(pairs, measured, p_value=p_value):
        within = margin is not None and shows_no_worse(pairs, measured, margin=margin)
        also = f", though by less than the margin {plain(margin)}" if within and margin is not None else ""
        return Verdict(word="worse", reason=_tested(measured, p_value) + also)
    if margin is not None and shows_equivalent(pairs, measured, margin=margin):
        return Verdict(word="equivalent", reason=f"margin {plain(margin)}")
    if margin is not None and shows_no_worse(pairs, measured, margin=margin):
        return Verdict(word="no_worse", reason=f"margin {plain(margin)}")
    if _certainly_same(measured):
        return Verdict(word="equivalent", reason=f"every one of {measured.n} pairs is the same")
    return undecided(pairs, measured, margin=margin, p_value=p_value)


def _tested(measured: Measured, p_value: float | None) -> str:
    return f"p = {measured.p_value:.2g}" if p_value is None else f"p = {p_value:.2g}, corrected"


def _certainly_same(measured: Measured) -> bool:
    """Nothing differs and nothing could have, in any margin: the same bill for every sample."""
    return measured.interval == (0.0, 0.0) and measured.n >= FEWEST


def undecided(pairs: Pairs, measured: Measured, *, margin: float | None, p_value: float | None = None) -> Verdict:
    """Why nothing is shown, and what would show it."""
    if measured.n == 0:
        return Verdict(word="undecided", reason=_nothing(pairs))
    if measured.n < FEWEST or measured.detectable is None:
        reason = f"{count(measured.n, 'pair')} cannot show any difference; take at least {FEWEST}"
        return Verdict(word="undecided", reason=reason, needed=FEWEST)
    if not measured.deviation and not measured.difference:
        reason = f"all {measured.n} pairs are equal; a difference up to {plain(measured.detectable)} could have gone unseen"
        return Verdict(word="undecided", reason=reason)
    if pairs.drift and measured.interval is not None and (measured.interval[0] > 0 or measured.interval[1] < 0):
        reason = f"two runs at different times can differ by {plain(pairs.drift)}, however many samples; measure again"
        return Verdict(word="undecided", reason=reason)
    can = f"{count(measured.n, 'sample')} can show {plain(measured.detectable)}"
    target = margin if margin is not None else abs(measured.difference or 0.0)
    if measured.deviation and target and target < measured.detectable:
        take = statistics.needed(measured.deviation, difference=target, alpha=measured.alpha)
        return Verdict(word="undecided", reason=f"{can}; for {plain(target)} take {take}", needed=take)
    p = measured.p_value if p_value is None else p_value
    return Verdict(word="undecided", reason=can if p is None else f"{can}; p = {p:.2g}")


def _nothing(pairs: Pairs) -> str:
    if pairs.metric == LATENCY and pairs.reused:
        return f"no latency to compare: {count(pairs.reused, 'sample')} re-used an earlier output or a part of it"
    return "no sample has a value on both sides"
