"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def plain(value: float) -> str:
    """Two significant digits without an exponent; more where the whole part is longer: 0.061, 2.4, 840."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2g}") if abs(value) < 100 else float(round(value))
    text = f"{rounded:.12f}".rstrip("0").rstrip(".")
    return text if text not in {"0", "-0"} else f"{value:.2g}"


def spread(interval: Sequence[float] | None) -> str:
    """An interval in brackets, or nothing."""
    return "" if interval is None else f"[{interval[0]:.4g}, {interval[1]:.4g}]"


def count(number: int, noun: str) -> str:
    """`1 sample`, `62 samples`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
