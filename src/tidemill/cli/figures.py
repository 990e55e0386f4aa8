"""Numbers as people read them: units, and no more digits than they carry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tidemill.core.json import Json

NOTHING = "-"


def count(value: int) -> str:
    """1204 as `1,204`."""
    return f"{value:,}"


def counted(value: int, unit: str) -> str:
    """`1 sample`, `62 samples`, `3 searches`."""
    plural = unit if value == 1 else f"{unit}es" if unit.endswith(("s", "ch", "x")) else f"{unit}s"
    return f"{count(value)} {plural}"


def counted_rows(value: int, table: str) -> str:
    """The rows of a table of an archive: `1 alias`, `3 evaluation samples`, `2 audit lines`."""
    special = {"aliases": "alias", "audit": "audit line", "feedback": "feedback line"}
    return counted(value, special.get(table) or table.replace("_", " ").removesuffix("s"))


def money(dollars: float | None) -> str:
    """US dollars; small amounts keep four decimals."""
    if dollars is None:
        return "no price"
    if dollars == 0:
        return "$0"
    return f"${dollars:,.2f}" if abs(dollars) >= 10 else f"${dollars:.4f}" if abs(dollars) >= 0.00005 else f"${dollars:.1e}"


def duration(milliseconds: float | None) -> str:
    """`38 ms`, `2.31 s`, `3 min 12 s`."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def about(seconds: float) -> str:
    """Time left, without false exactness."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 90 * 60 else f"about {round(seconds / 3600)} h"


def figure(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A metric's value in the metric's own unit."""
    if value is None:
        return NOTHING
    sign = ("+" if value > 0 else "-" if value < 0 else "") if signed else ("-" if value < 0 else "")
    return sign + _amount(metric, abs(value))


def interval(metric: str, bounds: Sequence[float] | None, *, signed: bool = False) -> str:
    """`[+0.020, +0.160]`."""
    if not bounds:
        return NOTHING
    return f"[{', '.join(figure(metric, each, signed=signed) for each in bounds)}]"


def _amount(metric: str, value: float) -> str:
    if "cost" in metric:
        return money(value)
    if metric.endswith("_ms") or "latency" in metric:
        return duration(value)
    return f"{value:.3f}" if value < 1000 else f"{value:,.0f}"


def short(digest: str | None) -> str:
    """A digest to recognise, not to paste."""
    if not digest:
        return NOTHING
    return f"{digest[:15]}…" if digest.startswith("sha256:") else digest


def moment(document: Mapping[str, object], *names: str) -> str:
    """The first of these fields that holds a time, as local time to the second."""
    for name in names:
        value = document.get(name)
        if isinstance(value, int | float):
            return dt.datetime.fromtimestamp(value / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        if isinstance(value, str) and value:
            return _local(value)
    return NOTHING


def _local(text: str) -> str:
    try:
        return dt.datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def as_text(value: Json) -> str:
    """A value for a person: text as it is, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    import orjson

    return orjson.dumps(value).decode()
