"""Answers about evaluations, comparisons and gates."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class UsageShape(TypedDict, total=False):
    """Tokens."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


class StartedEvaluationShape(TypedDict):
    """An evaluation that was started, and the job to follow."""

    evaluation: str
    job: str
    release: str


class MetricShape(TypedDict):
    """A metric's mean over the samples that have it, with its 95 % interval."""

    mean: float | None
    interval: list[float] | None
    n: int


class EvaluationShape(TypedDict):
    """A release on a dataset, scored; finished or not."""

    id: str
    release: str
    app: str
    dataset: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    samples: int
    errors: int
    metrics: dict[str, dict[str, Any]]
    reused: dict[str, int]
    calls: dict[str, int]
    usage: UsageShape
    cost: float | None
    duration_ms: float
    job: str | None
    created: str
    environment: str | None
    error: NotRequired[str | None]
    notes: NotRequired[list[str]]
    scorers: NotRequired[Any]
    steps: NotRequired[Any]


class ComparedShape(TypedDict):
    """Two evaluations, paired sample by sample."""

    a: str
    b: str
    dataset: str
    samples: int
    metrics: dict[str, dict[str, Any]]
    notes: list[str]
    slice: str | None
    alpha: float
    correction: str
    resamples: int
    seed: int


class GateCheckedShape(TypedDict):
    """One check of a gate."""

    metric: str
    rule: str
    value: float | None
    interval: list[float | None] | None
    result: Literal["passed", "failed", "inconclusive", "error"]
    reason: str
    n: int | None
    p_value: float | None
    slice: str | None


class GateShape(TypedDict):
    """What a gate decided; the incumbent stays unless it is `passed`."""

    gate: str
    result: Literal["passed", "failed", "inconclusive", "error"]
    checks: list[GateCheckedShape]
    evaluation: str
    against: str | None
    correction: str
    incumbent_stays: bool
    notes: list[str]
    gate_digest: str
    gate_version: str
