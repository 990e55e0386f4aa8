"""Results as a Markdown table, for the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

HEAD = (
    "| | measured | ours | baseline | ours / baseline | the baseline is | budget |",
    "|---|---|--:|--:|--:|---|---|",
)


def markdown(lines: Iterable[Mapping[str, Any]]) -> str:
    """A row for each result."""
    return "\n".join([*HEAD, *map(_row, lines)])


def _row(line: Mapping[str, Any]) -> str:
    unit = line["unit"]
    ratio = "" if line["ratio"] is None or unit == "recall" else _figure(line["ratio"])
    ours, baseline = (_with_unit(line[each], unit) for each in ("ours", "baseline"))
    return f"| {line['benchmark']} | {line['what']} | {ours} | {baseline} | {ratio} | {line['baseline_is']} | {_budget(line)} |"


def _budget(line: Mapping[str, Any]) -> str:
    """The budget, and whether it was kept. Rates and recall are to be at least so much, everything else at most."""
    at_least = line["unit"].endswith("/s") or line["unit"] == "recall"
    sign = "≥" if at_least else "≤"
    if "budget" in line:
        value, limit, shown = line["ours"], line["budget"], _with_unit(line["budget"], line["unit"])
    elif "budget_ratio" in line:
        value, limit, shown = line["ratio"], line["budget_ratio"], f"{_figure(line['budget_ratio'])} × baseline"
    else:
        return ""
    kept = value is not None and (value >= limit if at_least else value <= limit)
    return f"{sign} {shown}" if kept else f"{sign} {shown}, **missed**"


def _with_unit(value: float, unit: str) -> str:
    return _figure(value) if unit == "recall" else f"{_figure(value)} {unit}"


def _figure(value: float) -> str:
    """Three figures, which is all that a noisy machine gives."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
