"""The rules of a gate, one by one, each with an answer and the reason for it.

A bound is held by the interval, not by the mean: `min` passes when the whole interval lies at or above it, fails when the whole
interval lies below, and is inconclusive in between. A test passes when its difference is shown, fails when the opposite is
shown, and is inconclusive otherwise: nothing shown keeps the incumbent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.suggest import did_you_mean
from tidemill.evaluation import statistics
from tidemill.evaluation.compare import unlike
from tidemill.evaluation.gate_rules import Checked, CheckRule, Result
from tidemill.evaluation.paired import FEWEST, Measured, Pairs, measure, pair_up, same_outputs
from tidemill.evaluation.results import ERROR_RATE, LATENCY, Evaluated, is_score, parse_slice
from tidemill.evaluation.summary import metric_mean
from tidemill.evaluation.verdicts import shows_better, shows_no_worse, shows_worse, undecided
from tidemill.evaluation.wording import count, plain, spread

Bound = Literal["min", "max"]


def check_bound(check: CheckRule, bound: Bound, candidate: Evaluated) -> Checked:
    """Hold the metric's interval to a bound. An unknown metric or slice is an `error`."""
    limit = check.min if bound == "min" else check.max
    assert limit is not None
    rule = f"{bound} {limit:g}"
    try:
        within = parse_slice(check.slice) if check.slice else None
        _known(check.metric, candidate)
        worst = "lowest" if bound == "min" else "highest"
        found = metric_mean(candidate, check.metric, within=within, level=1 - check.alpha, failed=worst)
    except TidemillError as error:
        return _error(check, rule, str(error))
    if found.mean is None:
        return _without_values(check, rule, candidate)
    result, reason = _held(found.interval, bound, limit, found.mean)
    if found.n < check.min_n:
        result, reason = "inconclusive", f"{count(found.n, 'sample')}, but min_n is {check.min_n}"
    return Checked(
        metric=check.metric, rule=rule, result=result, reason=reason, value=found.mean, interval=found.interval, n=found.n,
        slice=check.slice,
    )  # fmt: skip


def _without_values(check: CheckRule, rule: str, candidate: Evaluated) -> Checked:
    reused = sum(each.reused for each in candidate.results)
    if check.metric != LATENCY or not reused:
        return _error(check, rule, "no sample has a value")
    reason = f"no latency of its own: {count(reused, 'sample')} re-used an earlier output or a part of it"
    return Checked(metric=check.metric, rule=rule, result="inconclusive", reason=reason, slice=check.slice)


def _held(interval: tuple[float, float] | None, bound: Bound, limit: float, mean: float) -> tuple[Result, str]:
    if interval is None:
        return "inconclusive", "one sample has no interval"
    low, high = interval
    is_held, is_missed = (low >= limit, high < limit) if bound == "min" else (high <= limit, low > limit)
    edge = low if bound == "min" else high
    if is_held:
        return "passed", f"{plain(mean)} {spread(interval)}: the interval ends at {plain(edge)}"
    if is_missed:
        return "failed", f"{plain(mean)} {spread(interval)} is {'below' if bound == 'min' else 'above'} {plain(limit)}"
    return "inconclusive", f"{plain(mean)} {spread(interval)} reaches past {plain(limit)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tested:
    check: CheckRule
    pairs: Pairs
    measured: Measured
    identical: bool


def check_tests(
    checks: Sequence[CheckRule], candidate: Evaluated, incumbent: Evaluated | None, *, correction: Literal["holm", "none"]
) -> Iterator[Checked]:
    """Test each check against the incumbent; Holm's correction is over the superiority tests of the gate."""
    prepared = [_prepare(check, candidate, incumbent) for check in checks]
    family = [each for each in prepared if isinstance(each, _Tested) and each.check.test == "superiority"]
    p_values = [1.0 if each.measured.p_value is None else each.measured.p_value for each in family]
    corrected = statistics.holm(p_values) if correction == "holm" and len(family) > 1 else p_values
    by_check = {id(each): p for each, p in zip(family, corrected, strict=True)}
    for each in prepared:
        yield each if isinstance(each, Checked) else _decide(each, by_check.get(id(each)))


def _prepare(check: CheckRule, candidate: Evaluated, incumbent: Evaluated | None) -> _Tested | Checked:
    rule = _rule(check)
    if incumbent is None:
        return _error(check, rule, "there is no evaluation of the incumbent to test against; give one with --against")
    try:
        within = parse_slice(check.slice) if check.slice else None
        _known(check.metric, candidate)
        _known(check.metric, incumbent)
        if why := unlike(incumbent, candidate, check.metric):
            return _error(check, rule, why)
        pairs = pair_up(incumbent, candidate, check.metric, within=within).at_worst()
    except TidemillError as error:
        return _error(check, rule, str(error))
    identical = is_score(check.metric) and same_outputs(incumbent, candidate, within=within)
    return _Tested(check=check, pairs=pairs, measured=measure(pairs, alpha=check.alpha), identical=identical)


def _decide(tested: _Tested, p_value: float | None) -> Checked:
    check, pairs, measured = tested.check, tested.pairs, tested.measured
    result: Result
    if not measured.n:
        result, reason = "inconclusive", undecided(pairs, measured, margin=check.margin).reason
    elif measured.n < check.min_n:
        result, reason = "inconclusive", f"{count(measured.n, 'pair')}, but min_n is {check.min_n}"
    elif check.test == "superiority":
        result, reason = _superior(pairs, measured, p_value)
    elif tested.identical and not pairs.differences.any():
        result, reason = "passed", f"the same output in all {count(measured.n, 'sample')}"
    else:
        result, reason = _not_inferior(pairs, measured, check.margin or 0.0)
    return Checked(
        metric=check.metric, rule=_rule(check), result=result, reason=reason, value=measured.difference,
        interval=measured.interval, n=measured.n, p_value=p_value if p_value is not None else measured.p_value,
        slice=check.slice,
    )  # fmt: skip


def _superior(pairs: Pairs, measured: Measured, p_value: float | None) -> tuple[Result, str]:
    p = "" if p_value is None else f", p = {p_value:.2g}"
    if shows_better(pairs, measured, p_value=p_value):
        return "passed", f"better than the incumbent{p}"
    if shows_worse(pairs, measured):
        return "failed", f"worse than the incumbent, p = {measured.p_value or 0:.2g}"
    return "inconclusive", f"not shown to be better: {undecided(pairs, measured, margin=None, p_value=p_value).reason}"


def _not_inferior(pairs: Pairs, measured: Measured, margin: float) -> tuple[Result, str]:
    interval = measured.interval
    ends = "" if interval is None else f": the interval ends at {plain(interval[0] if pairs.sign > 0 else interval[1])}"
    if shows_no_worse(pairs, measured, margin=margin):
        return "passed", f"no worse by {plain(margin)}{ends}"
    worst = None if interval is None else max(sorted(pairs.sign * each for each in interval))
    if worst is not None and worst < -margin:
        return "failed", f"worse by more than {plain(margin)}{ends}"
    if measured.n < FEWEST:
        return "inconclusive", undecided(pairs, measured, margin=margin).reason
    return "inconclusive", f"not shown to be no worse by {plain(margin)}{ends}"


def _rule(check: CheckRule) -> str:
    within = f" in {check.slice}" if check.slice else ""
    return f"{check.test}{'' if check.margin is None else f' margin {check.margin:g}'}{within}"


def _known(metric: str, evaluated: Evaluated) -> None:
    if evaluated.status != "done":
        raise Invalid(f"evaluation {evaluated.id} is {evaluated.status}, not done")
    if metric not in {*evaluated.metrics, ERROR_RATE, LATENCY}:
        raise Invalid(f"evaluation {evaluated.id} has no metric {metric!r}. {did_you_mean(metric, evaluated.metrics)}")


def _error(check: CheckRule, rule: str, reason: str) -> Checked:
    return Checked(metric=check.metric, rule=rule, result="error", reason=reason, slice=check.slice)
