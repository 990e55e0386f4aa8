"""Answers about what is kept of people."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class TraceErasureShape(TypedDict):
    """An erasure that was begun, and its job. `subject` is a trace's id, else a keyed hash that leads back to nobody."""

    erasure: str
    job: str
    what: Literal["user", "session", "trace"]
    subject: str


class CaptureShape(TypedDict):
    """The share of traces whose content is kept, 0 to 1."""

    default: float
    endpoints: dict[str, float]
    kinds: dict[str, float]


class TelemetryShape(TypedDict):
    """What a project keeps of its spans; `retention` is in seconds, null for ever."""

    version: str | None
    capture: CaptureShape
    redact: list[str]
    fields: int
    users: Literal["keep", "hash"]
    retention: dict[str, float | None]


class PayloadShape(TypedDict):
    """The whole input or output of a span; `apart` says whether it is kept outside of its row."""

    trace: str
    span: str
    field: Literal["input", "output"]
    value: Any
    apart: bool
