"""Answers about what is served and run: endpoints, rollouts, runs, traces, feedback, jobs."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from tidemill.api.shapes.evaluations import UsageShape


class ServedShape(TypedDict):
    """A release by its digest, and the version that is its root."""

    release: str
    app: str


class ShareShape(TypedDict):
    """A step of a rollout, in percent."""

    share: float


class RolloutShape(TypedDict):
    """A release that takes a share of an endpoint's traffic. Shares are in percent; `step` counts from 1."""

    id: str
    endpoint: str
    status: Literal["running", "promoted", "aborted"]
    canary: ServedShape
    stable: ServedShape
    share: float
    steps: list[ShareShape]
    step: int
    started: str
    started_by: str
    ended: str | None
    ended_by: str | None
    why: str


class WatchedRolloutShape(RolloutShape):
    """A rollout, with how each variant does; `variants` is null where traces cannot be counted."""

    variants: dict[str, Any] | None
    differences: dict[str, Any]
    note: str | None


class MoveShape(TypedDict):
    """One change of what an endpoint serves."""

    action: Literal["deploy", "rollback", "canary", "promote", "abort"]
    release: str
    app: str
    by: str
    at: str


class EndpointShape(TypedDict):
    """A stable address and what it serves; `previous` is what a rollback restores, `history` the newest first."""

    name: str
    ref: str
    app: str
    release: str
    environment: str | None
    previous: str | None
    rollout: RolloutShape | None
    history: list[MoveShape]
    updated: str


class RunStepShape(TypedDict):
    """What one step gave."""

    output: Any
    reused: bool
    latency_ms: float


class RunShape(TypedDict):
    """One execution of an application."""

    id: str
    trace: str
    release: str
    output: Any
    steps: dict[str, RunStepShape]
    usage: UsageShape
    cost: float | None
    latency_ms: float


class SpanShape(TypedDict):
    """One span of a trace."""

    id: str
    parent_id: str | None
    name: str
    kind: str
    step: str | None
    start: str
    duration_ms: float
    status: str
    error: str | None
    input: Any
    output: Any
    apart: list[str]
    notes: NotRequired[list[str]]
    model: str | None
    usage: UsageShape
    cost: float | None
    provider: str | None
    first_token_ms: float | None
    finish_reasons: list[str]
    weight: float
    service: str | None
    scope: str | None
    dialect: str | None
    events: list[Any]
    links: list[Any]
    resource: dict[str, Any]
    attributes: dict[str, Any]
    depth: NotRequired[int]
    order: NotRequired[int]
    scores: NotRequired[list[TraceScoreShape]]


class TraceScoreShape(TypedDict):
    """What was scored or said of a trace or of a span of it: `source` is feedback, monitor, evaluation or api."""

    name: str
    value: float | None
    text: str | None
    span: str | None
    source: str
    by: str | None
    at: str


class FoundSpanShape(SpanShape):
    """A span that was searched for, and its trace."""

    trace_id: str


class GroupShape(TypedDict):
    """A session or a user: what their traces come to; `name` is the last trace's."""

    id: str
    traces: int
    first: str
    last: str
    errors: int
    usage: UsageShape
    cost: float | None
    name: str
    users: NotRequired[list[str]]
    sessions: NotRequired[list[str]]


class SavedQueryShape(TypedDict):
    """A filter under a name."""

    name: str
    filter: str
    description: str
    by: str
    created: str | None
    changed: str | None


class FeedbackShape(TypedDict):
    """What was said of a trace, or of one of its spans; `source` is who sent it, `user` whose opinion it is."""

    id: str
    trace: str
    span: str | None
    kind: Literal["thumbs", "score", "correction", "comment", "event"]
    name: str
    value: Any
    user: str
    source: str
    replaced_by: str | None
    created: str


FoundInShape = TypedDict("FoundInShape", {"in": NotRequired[str]})
"""Where a question was found by its meaning: `input` or `output`."""


class ListedTraceShape(FoundInShape):
    """One execution as recorded."""

    id: str
    name: str
    release: str | None
    start: str
    duration_ms: float
    status: str
    error: str | None
    input: Any
    output: Any
    usage: UsageShape
    cost: float | None
    user: str | None
    session: str | None
    tags: list[str]
    kind: NotRequired[str]
    endpoint: NotRequired[str | None]
    variant: NotRequired[str | None]
    weight: NotRequired[float]
    service: NotRequired[str | None]
    first_token_ms: NotRequired[float | None]
    models: NotRequired[list[str]]
    kept_apart: NotRequired[dict[str, str]]
    scores: NotRequired[list[TraceScoreShape]]
    similarity: NotRequired[float]


class ConversationShape(GroupShape):
    """A conversation: its traces in the order in which they began."""

    items: list[ListedTraceShape]
    next: str | None


class RecordedShape(ListedTraceShape):
    """An execution with its spans."""

    spans: list[SpanShape]


class TraceShape(RecordedShape):
    """An execution with its spans, and what was said of it."""

    feedback: list[FeedbackShape]


class FoundRunShape(TypedDict):
    """A run, known by its trace."""

    id: str
    output: Any
    release: str | None
    trace: RecordedShape


class ProgressShape(TypedDict):
    """How far a job is; `total` is null while it is not known."""

    done: int
    total: int | None
    unit: str


class JobShape(TypedDict):
    """Long work."""

    id: str
    kind: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: ProgressShape
    error: str | None
    result: Any
    created: str
    updated: str
