"""Answers about pipelines, monitors, tunes and the catalogue of models."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from tidemill.api.shapes.registry import AppendedShape
from tidemill.api.shapes.serving import JobShape


class PipelineRunShape(TypedDict):
    """A run of a pipeline; `waiting` when all its running steps wait for a person or for traffic."""

    id: str
    pipeline: str
    version: str
    digest: str
    status: str
    trigger: Any
    who: str
    inputs: dict[str, Any]
    error: str | None
    created: str
    ended: str | None
    duration_ms: float | None


class PipelineStepShape(TypedDict):
    """A step of a run: how it stands, what went in, what came out."""

    id: str
    kind: str
    status: str
    cached: bool
    cached_from: str | None
    attempt: int
    key: str | None
    inputs: Any
    output: Any
    digest: str | None
    error: str | None
    note: Any
    started: str | None
    ended: str | None
    duration_ms: float | None


class PipelineRunStepsShape(PipelineRunShape):
    """A run with its steps."""

    steps: list[PipelineStepShape]


class ListedPipelineShape(TypedDict):
    """A pipeline: what starts it, when next, and its last run."""

    name: str
    ref: str
    digest: str
    on: Any
    next: str | None
    inputs: Any
    last_run: PipelineRunShape | None


class PipelineShape(ListedPipelineShape):
    """A pipeline with its document."""

    spec: dict[str, Any]


class PipelineLineShape(TypedDict):
    """A line that a step wrote; `cursor` asks for those after it."""

    cursor: str
    step: str
    at: str
    line: str


class MonitorRunShape(TypedDict("_From", {"from": str | None})):
    """A look at live traffic; what was found stands beside when it is done."""

    id: str
    monitor: str | None
    target: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    verdict: str | None
    alarm: bool
    p_value: float | None
    error: str | None
    job: str
    release: str | None
    spec: dict[str, Any]
    to: str
    created: str
    updated: str


class StartedRunShape(TypedDict):
    """A run that was started; its job has the same id."""

    run: str
    job: str


class ProposalShape(TypedDict):
    """A sample that a run proposes, with the trace that it comes from."""

    id: int
    trace: str
    topic: str | None
    text: str
    input: Any
    output: Any
    accepted_into: str | None
    accepted: str | None


class MonitorRunProposalsShape(MonitorRunShape):
    """A run with the samples that it proposes."""

    proposals: list[ProposalShape]


class MonitorShape(TypedDict):
    """A monitor with its newest runs."""

    ref: str
    name: str
    environment: str | None
    spec: dict[str, Any]
    description: str
    runs: list[MonitorRunShape]
    open_alerts: int
    quality: NotRequired[dict[str, Any]]


class AcceptedShape(AppendedShape):
    """What became of the proposals that were accepted."""

    accepted: int


class TuneShape(JobShape):
    """A run of a tune: how far it is, and what came of it."""

    tune: str | None
    data: str | None
    output: str | None
    estimate: Any
    judging: Any
    adapter: str | None
    model: str | None
    tokens_per_second: float | None
    seconds: float | None
    peak_mb: float | None
    reused: bool | None
    losses: NotRequired[list[float]]


class TuneEstimateShape(TypedDict):
    """What a tune would take."""

    tune: str
    estimate: dict[str, Any]


class StartedTuneShape(TypedDict):
    """A tune that was started, or is under way."""

    id: str
    job: str
    estimate: dict[str, Any]


class ModelsCompareShape(TypedDict):
    """What a comparison would take, and the job that does it."""

    estimate: dict[str, Any]
    job: str | None
    evaluations: NotRequired[dict[str, str]]
