"""A small curve out of characters."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def curve(values: Sequence[float], *, columns: int = 60, rows: int = 5) -> list[str]:
    """Lines of a bar chart from zero to the largest value, its scale at the left; longer series are averaged by column."""
    if not values:
        return []
    columns = min(columns, len(values))
    means = [_mean(values[len(values) * at // columns : len(values) * (at + 1) // columns]) for at in range(columns)]
    top = max(*means, 0.0) or 1.0
    lines = list[str]()
    for row in range(rows, 0, -1):
        filled = [_EIGHTHS[max(0, min(8, round(each / top * rows * 8) - (row - 1) * 8))] for each in means]
        label = f"{top:.2f}" if row == rows else "0.00" if row == 1 else ""
        lines.append(f"{label:>7} {''.join(filled)}".rstrip())
    return lines


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
