"""What was scored or said of a trace, as the control plane answers it."""

from __future__ import annotations

from typing import Required, TypedDict


class TraceScoreJson(TypedDict, total=False):
    """What was scored or said of a trace or a span: `source` is feedback, monitor, evaluation or api."""

    name: Required[str]
    value: Required[float | None]
    text: str | None
    span: str | None
    source: Required[str]
    by: str | None
    at: Required[str]
