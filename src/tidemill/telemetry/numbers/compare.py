"""Two times or two releases side by side: each measure's difference, its interval, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.numbers import intervals
from tidemill.telemetry.numbers.answer import Found, described, gather
from tidemill.telemetry.numbers.measures import Measure, Sums
from tidemill.telemetry.numbers.question import Question
from tidemill.telemetry.rollups.rebuild import Rollups
from tidemill.telemetry.rollups.state import MINUTE

_NOTHING = Sums()


async def compare(engine: Engine, rollups: Rollups, a: Question, b: Question) -> JsonObject:
    """What `b` has that `a` has not; both without an interval of time, with the same measures and dimensions.

    The groups with the largest value of the question's order in `b` come first. Differences are b - a; intervals hold 95 %,
    each by itself: over many groups some are outside by chance.
    """
    if b.of_points:
        raise Invalid("numbers of metrics are not compared", hint="Ask for each time by itself, without `compare`.")
    if a.within[0] < b.within[0] < a.within[1] <= b.within[0] + MINUTE:
        a = replace(a, within=(a.within[0], b.within[0]))  # they touch within a minute, which both were widened to
    found: dict[str, Found] = {}

    async def one(name: str, question: Question) -> None:
        found[name] = await gather(engine, rollups, question, places=True)

    async with anyio.create_task_group() as both:
        both.start_soon(one, "a", a)
        both.start_soon(one, "b", b)
    groups = {by for each in found.values() for _, by in each.sums} or {()}
    order = next(each for each in b.measures if each.name == b.order)
    zero = {name: {by: each for (_, by), each in side.sums.items()} for name, side in found.items()}

    def rank(by: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
        value = order.value(zero["b"].get(by, _NOTHING)) or 0.0
        return (-value if b.descending else value, by)

    ranked = sorted(groups, key=rank)
    names = [name for name, _ in b.by]
    items: list[Json] = [
        {
            "by": dict(zip(names, by, strict=True)),
            "measures": _compared(b.measures, zero["a"].get(by, _NOTHING), zero["b"].get(by, _NOTHING)),
        }
        for by in ranked[: b.limit]
    ]
    return {
        "a": described(a, found["a"]), "b": described(b, found["b"]), "items": items, "groups": len(ranked),
        "more": len(ranked) > b.limit,
    }  # fmt: skip


def _compared(measures: Sequence[Measure], a: Sums, b: Sums) -> JsonObject:
    return {each.name: _difference(each, a, b) for each in measures}


def _difference(measure: Measure, a: Sums, b: Sums) -> JsonObject:
    value_a, value_b = measure.value(a), measure.value(b)
    around_a, around_b = _around(measure, a), _around(measure, b)
    difference, interval = None, None
    if value_a is not None and value_b is not None:
        difference = value_b - value_a
        interval = intervals.of_difference(value_a, around_a, value_b, around_b)
    return {
        "a": value_a,
        "b": value_b,
        "interval_a": None if around_a is None else list(around_a),
        "interval_b": None if around_b is None else list(around_b),
        "n": [a.n, b.n],
        "difference": difference,
        "interval": None if interval is None else list(interval),
        "better": None if measure.lower_is_better is None else "lower" if measure.lower_is_better else "higher",
        "verdict": intervals.verdict(interval, lower_is_better=measure.lower_is_better),
        "unit": measure.unit,
    }


def _around(measure: Measure, sums: Sums) -> intervals.Interval | None:
    """As `measure.interval`; a total is taken as one of events that come at random, as two times differ by chance too."""
    if measure.name == "cost":
        return intervals.of_total(sums.cost, sums.cost_squares)
    if measure.name in {"count", "requests"}:
        total, extra = (sums.weighted, sums.variance) if measure.name == "count" else (sums.requests, sums.requests_variance)
        return intervals.of_total(total, total + extra)
    if measure.name == "errors":
        return intervals.of_total(sums.errors, sums.errors * (sums.squares / sums.weighted if sums.weighted else 1.0))
    return measure.interval(sums)
