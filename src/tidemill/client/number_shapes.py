"""What the control plane answers about numbers."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

NumbersOf = Literal["requests", "calls", "spans", "points"]


class AskedJson(TypedDict("_AskedFrom", {"from": str})):
    """What numbers are of. `source` is where they were read, `sampled` that they are estimates of more than was stored.

    `level` is that of every interval; `quantile_error` the share of itself by which a quantile may be off.
    """

    measures: list[str]
    by: list[str]
    of: NumbersOf
    interval: Literal["minute", "hour", "day", "none"]
    zone: str
    to: str
    source: str
    sampled: bool
    level: float
    quantile_error: NotRequired[float]


class PointJson(TypedDict):
    """One bucket: how many spans were stored, each measure's value (null where there is none), and its interval."""

    at: str
    n: int
    values: dict[str, float | None]
    intervals: dict[str, list[float]]


class SeriesJson(TypedDict):
    """One group, by the values of its dimensions."""

    by: dict[str, str]
    points: list[PointJson]


class NumbersJson(AskedJson):
    """Series, the largest group first; `more` when not all of the `groups` are there."""

    series: list[SeriesJson]
    groups: int
    more: bool


class DifferenceJson(TypedDict):
    """A measure in `a` and in `b`, with an interval each; `difference` is b - a. `n` are spans that were stored."""

    a: float | None
    b: float | None
    interval_a: list[float] | None
    interval_b: list[float] | None
    n: list[int]
    difference: float | None
    interval: list[float] | None
    better: Literal["lower", "higher"] | None
    verdict: Literal["better", "worse", "higher", "lower", "no difference shown"]
    unit: str


class ComparedGroupJson(TypedDict):
    """One group's measures."""

    by: dict[str, str]
    measures: dict[str, DifferenceJson]


class ComparedNumbersJson(TypedDict):
    """Two times or releases; the groups that are largest in `b` first."""

    a: AskedJson
    b: AskedJson
    items: list[ComparedGroupJson]
    groups: int
    more: bool
