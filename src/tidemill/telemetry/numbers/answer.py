"""Answers questions of numbers: time series, quantiles, totals, by any dimension, with what is uncertain about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from msgspec.structs import replace

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.numbers.histogram import RELATIVE_ERROR, value_of
from tidemill.telemetry.numbers.measures import Measure, Sums
from tidemill.telemetry.numbers.metrics import points_of
from tidemill.telemetry.numbers.question import Question, whole_hours
from tidemill.telemetry.numbers.sql import (
    FIELDS,
    MOST_ROWS,
    Source,
    Statement,
    counted,
    histograms,
    level_of,
    quantiles_of,
    scored,
    sums,
)
from tidemill.telemetry.questions.trace import time_text
from tidemill.telemetry.rollups.rebuild import Rollups
from tidemill.telemetry.rollups.state import Coverage
from tidemill.telemetry.schema.rollups import TOKENS

By: TypeAlias = tuple[str, ...]
Place: TypeAlias = tuple[int, By]
"""A bucket's first second and the values of the dimensions."""
_MOST_POINTS: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The sums of each group in each bucket, and where they were read."""

    sums: Mapping[Place, Sums]
    source: str

    @property
    def sampled(self) -> bool:
        """Whether a span stands for more than one."""
        return any(each.variance > 0 or each.requests_variance > 0 for each in self.sums.values())


async def ask(engine: Engine, rollups: Rollups, question: Question) -> JsonObject:
    """The answer: `series` of groups, each with its `points`, the largest group by the question's order first."""
    found = await gather(engine, rollups, question)
    groups: dict[By, dict[int, Sums]] = {} if question.by else {(): {}}
    for (at, by), each in found.sums.items():
        if not question.by or question.of_points or any(measure.value(each) for measure in question.measures):
            groups.setdefault(by, {})[at] = each
    order = next(each for each in question.measures if each.name == question.order)
    ranked = sorted(groups.items(), key=lambda item: _rank(order, item[1], descending=question.descending))
    shown = ranked[: question.limit]
    starts = question.starts
    if len(shown) * len(starts) > _MOST_POINTS:
        raise Invalid(
            f"{len(shown)} groups with {len(starts)} points each are too many",
            hint="Give a smaller limit, a shorter time or a longer interval.",
        )
    named = [(start, time_text(start * 10**9)) for start in starts]
    series: list[Json] = [_series(question, by, points, named) for by, points in shown]
    return {
        **described(question, found),
        "series": series,
        "groups": len(groups),
        "more": len(groups) > len(shown),
    }


def described(question: Question, found: Found) -> dict[str, Json]:
    """What the answer is an answer to, and how far it can be trusted."""
    said: dict[str, Json] = {
        "measures": [each.name for each in question.measures],
        "by": [name for name, _ in question.by],
        "of": question.of,
        "interval": question.interval,
        "from": time_text(question.within[0] * 10**9),
        "to": time_text(question.within[1] * 10**9),
        "zone": question.zone,
        "source": found.source,
        "sampled": found.sampled,
        "level": 1.0 if question.of_points else 0.95,
    }
    if any(each.timed for each in question.measures):
        said["quantile_error"] = RELATIVE_ERROR
    return said


def _rank(order: Measure, points: Mapping[int, Sums], *, descending: bool) -> tuple[bool, float, int]:
    """Groups without a value come last, whatever the order."""
    values = [value for each in points.values() if (value := order.value(each)) is not None]
    if not values:
        return (True, 0.0, 0)
    whole = sum(values) if order.additive else max(values) if descending else min(values)
    return (False, -whole if descending else whole, -sum(each.n for each in points.values()))


def _series(question: Question, by: By, points: Mapping[int, Sums], starts: Sequence[tuple[int, str]]) -> JsonObject:
    empty = Sums()
    listed: list[Json] = []
    for start, text in starts:
        found = points.get(0 if question.interval == "none" else start, empty)
        listed.append({"at": text, "n": found.n, **_values(question.measures, found)})
    names = [name for name, _ in question.by]
    return {"by": dict(zip(names, by, strict=True)), "points": listed}


def _values(measures: Sequence[Measure], found: Sums) -> JsonObject:
    values: dict[str, Json] = {each.name: each.value(found) for each in measures}
    around: dict[str, Json] = {each.name: list(interval) for each in measures if (interval := each.interval(found)) is not None}
    return {"values": values, "intervals": around}


async def gather(engine: Engine, rollups: Rollups, question: Question, *, places: bool = False) -> Found:
    """The sums of a question; with `places`, histograms of everything timed.

    Raises `Invalid` when there are too many groups, `Unavailable` when it takes too long.
    """
    if question.of_points:
        points = await points_of(engine, question)
        found = {place: Sums(n=sum(each.n for each in named.values()), metrics=named) for place, named in points.items()}
        return Found(sums=found, source="points")
    level = level_of(question, whole_hours=question.interval != "day" or whole_hours(question.within, question.zone))
    coverage = (
        Coverage(spans=[question.within])
        if level is None
        else await rollups.coverage(question.project, question.within, level=level)
    )
    size = len(question.by)
    only_first = not places and not any(each.counted or each.score for each in question.measures)
    rows = await _rows(engine, sums(question, Source(question, coverage, level), top=only_first))
    timings = quantiles_of(question)
    found = {_place(row, size): _sums(timings, row[size + 1 :]) for row in rows}
    for timed in timings:
        if places or any(f"{timed} is mixed" in each.quantiles for each in found.values()):
            rows = await _rows(engine, histograms(question, Source(question, coverage, level), timed))
            for row in rows:
                listed = cast("list[int]", row[size + 1]), cast("list[float]", row[size + 2])
                _add(found, _place(row, size), timed, dict(zip(*listed, strict=True)))
    await _add_counted(engine, question, found)
    await _add_scored(engine, question, found)
    return Found(sums=found, source=coverage.source)


async def _rows(engine: Engine, statement: Statement) -> Sequence[Sequence[object]]:
    rows = await engine.query(statement.sql, statement.parameters)
    if len(rows) > MOST_ROWS:
        raise Invalid(
            f"there are more than {MOST_ROWS} groups and buckets", hint="Group by less, narrow from and to, or add a filter."
        )
    return rows


def _place(row: Sequence[object], size: int) -> Place:
    return cast("int", row[0]), tuple(str(each) for each in row[1 : size + 1])


def _sums(timings: Mapping[str, Sequence[tuple[str, float]]], values: Sequence[object]) -> Sums:
    plain = dict(zip(FIELDS, cast("list[float]", values), strict=False))
    rest = values[len(FIELDS) :]
    tokens = dict(zip(TOKENS, cast("list[float]", rest), strict=False))
    quantiles: dict[str, float] = {}
    at = len(TOKENS)
    for timed, asked in timings.items():
        how, found = rest[at], cast("list[float | None]", rest[at + 1])
        at += 2
        if how == "mixed":
            quantiles[f"{timed} is mixed"] = 1.0
        for (name, _), place in zip(asked, found, strict=True):
            if how == "plain" and place is not None:
                quantiles[name] = value_of(round(place)) / 1e6
    return Sums(**plain, tokens=tokens, quantiles=quantiles)  # pyright: ignore[reportArgumentType]  (`n` is an int there)


def _add(found: dict[Place, Sums], place: Place, timed: str, histogram: Mapping[int, float]) -> None:
    if place in found:
        found[place] = replace(found[place], places={**found[place].places, timed: histogram})


async def _add_counted(engine: Engine, question: Question, found: dict[Place, Sums]) -> None:
    names = [each.counted for each in question.measures if each.counted]
    if not names:
        return
    source = Source(question, Coverage(spans=[question.within]), None)
    size = len(question.by)
    for row in await _rows(engine, counted(question, source, names)):
        place = _place(row, size)
        values = dict(zip(names, cast("list[float]", row[size + 1 :]), strict=True))
        found[place] = replace(found.get(place, Sums()), counted=values)


async def _add_scored(engine: Engine, question: Question, found: dict[Place, Sums]) -> None:
    names = [each.score for each in question.measures if each.score]
    if not names:
        return
    source = Source(question, Coverage(spans=[question.within]), None)
    size = len(question.by)
    for row in await _rows(engine, scored(question, source, names)):
        place = _place(row, size)
        score, total, squares, count = cast("tuple[str, float, float, int]", tuple(row[size + 1 :]))
        before = found.get(place, Sums())
        found[place] = replace(before, scores={**before.scores, score: (total, squares, count)})
