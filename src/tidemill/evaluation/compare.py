"""Compare two evaluations sample by sample: `b` against `a`, with an interval, a test and a word for each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.evaluation.extra import require_eval
from tidemill.evaluation.results import COST, ERROR_RATE, LATENCY, Evaluated, Slice, direction_of

if TYPE_CHECKING:
    from tidemill.evaluation.paired import Measured, Pairs

Correction: TypeAlias = Literal["holm", "none"]
RESAMPLES = 10_000


def compare(  # noqa: PLR0913  (each is a choice of the one who asks)
    a: Evaluated,
    b: Evaluated,
    *,
    metrics: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    correction: Correction = "none",
    within: Slice | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> JsonObject:
    """The comparison of INTERFACES: for each metric the difference b - a over the samples that both evaluations scored.

    `metrics` defaults to those that both have; `margins` gives, by metric and in its unit, the difference that does not matter.
    `better` and `worse` are the ids of the samples where b is better or worse, the largest change first. For latency, cost and
    error rate less is better. With `correction="holm"` verdicts use p-values corrected over the metrics; the intervals stay at
    1 - alpha each. Raises `Invalid` for an unknown metric, and when the two share no sample.
    """
    require_eval(needed_for="comparing evaluations")
    from tidemill.evaluation.paired import measure, pair_up  # noqa: PLC0415  (needs the extra eval)

    _check_alpha(alpha)
    names = _metrics(a, b, metrics, margins := margins or {})
    paired = {name: pair_up(a, b, name, within=within) for name in names if not unlike(a, b, name)}
    measured = {name: measure(pairs, alpha=alpha, resamples=resamples, seed=seed) for name, pairs in paired.items()}
    corrected = _corrected(measured, correction)

    def shown(name: str) -> JsonObject:
        if name not in paired:
            return _unlike_json(name, unlike(a, b, name))
        margin, p_value = margins.get(name), corrected.get(name)
        return _metric_json(paired[name], measured[name], margin=margin, p_value=p_value, resamples=resamples, seed=seed)

    return {
        "a": a.id, "b": b.id, "dataset": b.dataset, "slice": str(within) if within else None, "alpha": alpha,
        "metrics": {name: shown(name) for name in names}, "notes": list(_notes(a, b)),
        "samples": max((each.seen for each in paired.values()), default=0), "correction": correction,
        "resamples": resamples, "seed": seed,
    }  # fmt: skip


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise Invalid(f"alpha is between 0 and 1, not {alpha}", hint="Usual is 0.05.")


def _metrics(a: Evaluated, b: Evaluated, asked: Sequence[str] | None, margins: Mapping[str, float]) -> list[str]:
    known = [name for name in a.metrics if name in b.metrics]
    for either in (a, b):  # an error on one side only is the news
        known += [name for name in either.metrics if name == ERROR_RATE and name not in known]
    for name in (*(asked or ()), *margins):
        if name not in {*known, ERROR_RATE, LATENCY}:
            raise Invalid(f"the metric {name!r} is not in both evaluations", hint=did_you_mean(name, known))
    for name, margin in margins.items():
        if not margin > 0:
            raise Invalid(
                f"the margin of {name} is a number above 0, not {margin}", hint="Give the size of it, without a sign."
            )
    return list(asked) if asked is not None else known


def _corrected(measured: Mapping[str, Measured], correction: Correction) -> dict[str, float]:
    """The p-values by metric, corrected for there being several; empty with no correction."""
    if correction == "none":
        return {}
    from tidemill.evaluation.statistics import holm  # noqa: PLC0415  (needs the extra eval)

    tested = {name: each.p_value for name, each in measured.items() if each.p_value is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def unlike(a: Evaluated, b: Evaluated, metric: str) -> str:
    """Why a metric of two evaluations cannot be compared; empty when it can."""
    if metric in a.scorers and metric in b.scorers and a.scorers[metric] != b.scorers[metric]:
        return "scored by two different versions of the scorer; evaluate again with one"
    if metric in {LATENCY, COST} and a.steps != b.steps:
        return "the two evaluations ran different steps"
    return ""


def _metric_json(
    pairs: Pairs, measured: Measured, *, margin: float | None, p_value: float | None, resamples: int, seed: int
) -> JsonObject:
    from tidemill.evaluation.verdicts import decide_verdict  # noqa: PLC0415  (needs the extra eval)

    verdict = decide_verdict(pairs, measured, margin=margin, p_value=p_value, resamples=resamples, seed=seed)
    return {
        "a": float(pairs.a.mean()) if pairs.n else None,
        "b": float(pairs.b.mean()) if pairs.n else None,
        "difference": measured.difference,
        "interval": None if measured.interval is None else list(measured.interval),
        "p_value": measured.p_value,
        "p_corrected": p_value,
        "test": measured.test or None,
        "n": measured.n,
        "better": pairs.shown(better=True),
        "worse": pairs.shown(better=False),
        "verdict": verdict.word,
        "reason": verdict.reason,
        "direction": pairs.direction,
        "margin": margin,
        "effect": None if measured.effect is None else {"name": measured.effect[0], "value": measured.effect[1]},
        "detectable": measured.detectable,
        "needed": verdict.needed,
        "failed": {"a": list(pairs.gained), "b": list(pairs.lost)},
        "reused": pairs.reused,
    }


def _unlike_json(metric: str, why: str) -> JsonObject:
    empty: dict[str, Json] = dict.fromkeys(
        ("a", "b", "difference", "interval", "p_value", "p_corrected", "test", "margin", "effect", "detectable", "needed")
    )
    return {
        **empty, "n": 0, "better": [], "worse": [], "verdict": "undecided", "reason": why, "direction": direction_of(metric),
        "failed": {"a": [], "b": []}, "reused": 0,
    }  # fmt: skip


def _notes(a: Evaluated, b: Evaluated) -> Sequence[str]:
    """What a reader must know of the two beside the figures."""
    notes: list[str] = []
    samples = [{(each.sample, each.digest) for each in side.results} for side in (a, b)]
    shared = len(samples[0] & samples[1])
    if shared < len(samples[0] | samples[1]):
        notes.append(f"{shared} samples are in both; {len(samples[0])} in the first, {len(samples[1])} in the second")
    notes += [f"{each.id} is {each.status}, not done" for each in (a, b) if each.status != "done"]
    again = {(each.sample, each.digest) for side in (a, b) for each in side.results if each.reused and each.error is None}
    if reused := len(again & samples[0] & samples[1]):
        notes.append(f"{reused} samples re-used an earlier output or a part of it; their latency is not compared")
    return notes
