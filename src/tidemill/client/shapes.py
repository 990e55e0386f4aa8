"""The JSON shapes that the control plane promises; a server may add fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict

from tidemill.client.rollout_shapes import RolloutJson
from tidemill.client.score_shapes import TraceScoreJson
from tidemill.client.usage_shapes import UsedJson
from tidemill.core.json import Json, JsonObject

Action = Literal["create", "update", "unchanged", "delete"]
FeedbackKind = Literal["thumbs", "score", "correction", "comment", "event"]
Verdict = Literal["better", "worse", "no_worse", "equivalent", "undecided"]


class FieldChangeJson(TypedDict, total=False):
    """One value that came, went or changed; a long one is cut. `path` names members of a list by their id."""

    path: str
    effect: Literal["add", "remove", "change"]
    before: Json
    after: Json


class MovedJson(TypedDict, total=False):
    """A reference that leads to another version than before; `before` and `after` are labels such as `v3`."""

    ref: str
    before: str | None
    after: str | None
    before_digest: str | None
    after_digest: str | None


class CountedJson(TypedDict, total=False):
    """How many rows or documents came, went and changed, with a sample of each."""

    added: int
    removed: int
    changed: int
    sample: Sequence[Mapping[str, Json]]


class Change(TypedDict, total=False):
    """What an apply would do, or did, to one artifact. `details` are lines for a person, with words marked by `[-…-]{+…+}`.

    `contract` says whether what calls a tool or a function can go on as it did.
    """

    ref: Required[str]
    action: Required[Action]
    before: str | None
    after: str | None
    details: Sequence[str]
    digest: str
    path: str
    fields: Sequence[FieldChangeJson]
    references: Sequence[MovedJson]
    rows: CountedJson
    documents: CountedJson
    contract: Literal["breaking", "compatible"]


class ProblemJson(TypedDict, total=False):
    """One thing wrong, or worth knowing, with its place and what to do."""

    message: str
    where: str
    hint: str


class DriftJson(TypedDict, total=False):
    """Where files and registry went apart; `files` and `registry` are labels such as `v4`.

    `case`: `registry` (it changed by another door), `both` (the files did too), `behind` (the files are of an apply before the
    last), `gone` (the files say it no more).
    """

    ref: str
    case: Literal["registry", "both", "behind", "gone"]
    files: str | None
    registry: str | None
    by: str
    when: str | None
    path: str
    environment: str | None


class DownstreamJson(TypedDict, total=False):
    """What has the content that an apply replaces; each names by `because` the versions in it that are replaced."""

    releases: Sequence[Mapping[str, Json]]
    evaluations: Sequence[Mapping[str, Json]]
    endpoints: Sequence[Mapping[str, Json]]
    aliases: Sequence[Mapping[str, Json]]


class RerunJson(TypedDict, total=False):
    """What evaluations would have to do again; counts are exact, the most, or rough, as `bound` says."""

    generations: int
    searches: int
    embeddings: int
    chunks: int
    tools: int
    samples: int
    time_ms: float | None
    cost: float | None
    bound: Literal["exact", "at_most", "about"]
    models: Sequence[str]
    evaluations: Sequence[Mapping[str, Json]]


class Plan(TypedDict, total=False):
    """What an apply would do. `notes` are problems that do not stop it, `drift` is where the registry went another way."""

    changes: Required[Sequence[Change]]
    notes: Required[Sequence[ProblemJson]]
    affects: Required[Sequence[str]]
    rerun: RerunJson | None
    downstream: DownstreamJson
    drift: Sequence[DriftJson]
    digest: str


class Applied(Plan, total=False):
    """What an apply did; `jobs` are the builds that it started."""

    versions: Required[Sequence[Mapping[str, Json]]]
    jobs: Required[Sequence[str]]


class UsageJson(TypedDict, total=False):
    """Tokens."""

    input_tokens: int
    output_tokens: int


class RunJson(TypedDict, total=False):
    """One execution of an app."""

    id: Required[str]
    output: Required[Json]
    release: Required[str]
    trace: Required[str]
    steps: Required[Mapping[str, Mapping[str, Json]]]
    usage: Required[UsageJson]
    cost: Required[float | None]
    latency_ms: Required[float]


class ProgressJson(TypedDict, total=False):
    """How far a job is."""

    done: int
    total: int | None
    unit: str


class JobJson(TypedDict, total=False):
    """Long work."""

    id: Required[str]
    kind: Required[str]
    status: Required[Literal["queued", "running", "done", "failed", "cancelled"]]
    progress: ProgressJson
    result: Json
    error: str | None
    code: str
    created: str


class MetricJson(TypedDict, total=False):
    """A metric's mean over the samples that have it, with its 95 % interval."""

    mean: Required[float | None]
    interval: Sequence[float] | None
    n: Required[int]


class EvaluationJson(TypedDict, total=False):
    """A release on a dataset, scored."""

    id: Required[str]
    app: Required[str]
    release: Required[str]
    dataset: Required[str]
    status: Required[str]
    samples: Required[int]
    errors: Required[int]
    metrics: Required[Mapping[str, MetricJson]]
    reused: Required[Mapping[str, int]]
    calls: Mapping[str, int]
    usage: UsageJson
    cost: Required[float | None]
    duration_ms: Required[float]
    job: str
    environment: str | None


class ComparedMetric(TypedDict, total=False):
    """One metric of two evaluations, sample by sample. `better` and `worse` count samples, or list them."""

    a: float | None
    b: float | None
    difference: Required[float | None]
    interval: Sequence[float] | None
    p_value: float | None
    test: str
    n: int
    better: int | Sequence[str]
    worse: int | Sequence[str]
    verdict: Required[Verdict]
    reason: str


class ComparisonJson(TypedDict, total=False):
    """Two evaluations, paired."""

    a: Required[str]
    b: Required[str]
    dataset: str
    metrics: Required[Mapping[str, ComparedMetric]]
    samples: int
    notes: Sequence[str]


class GateCheckJson(TypedDict, total=False):
    """One check of a gate."""

    metric: Required[str]
    rule: Required[str]
    value: float | None
    interval: Sequence[float] | None
    result: Required[Literal["passed", "failed", "inconclusive", "error"]]
    reason: Required[str]


class GateJson(TypedDict, total=False):
    """What a gate decided."""

    gate: Required[str]
    result: Required[Literal["passed", "failed", "inconclusive", "error"]]
    checks: Required[Sequence[GateCheckJson]]


class SpanJson(TypedDict, total=False):
    """One span of a trace."""

    id: Required[str]
    parent_id: Required[str | None]
    name: Required[str]
    kind: Required[str]
    start: Required[str]
    duration_ms: Required[float]
    status: Required[str]
    notes: Sequence[str]
    error: str | None
    input: Json
    output: Json
    model: str | None
    usage: UsageJson
    cost: float | None
    step: str | None
    provider: str | None
    first_token_ms: float | None
    finish_reasons: Sequence[str]
    weight: float
    service: str | None
    scope: str | None
    dialect: str | None
    events: Sequence[Mapping[str, Json]]
    links: Sequence[Mapping[str, Json]]
    resource: Mapping[str, Json]
    attributes: Required[Mapping[str, Json]]
    depth: int
    order: int
    scores: Sequence[TraceScoreJson]
    trace_id: str


class FeedbackJson(TypedDict, total=False):
    """What was said of a trace, or of one of its spans."""

    id: Required[str]
    trace: Required[str]
    span: str | None
    kind: Required[FeedbackKind]
    name: str
    value: Required[Json]
    user: str
    source: str
    replaced_by: str | None
    created: str


class TraceJson(TypedDict, total=False):
    """One execution as recorded; in a list, without `spans`."""

    id: Required[str]
    name: Required[str]
    release: Required[str | None]
    endpoint: str | None
    start: Required[str]
    duration_ms: Required[float]
    status: Required[str]
    error: str | None
    input: Json
    output: Json
    usage: UsageJson
    cost: float | None
    user: str | None
    session: str | None
    tags: Sequence[str]
    spans: Sequence[SpanJson]
    feedback: Sequence[FeedbackJson]
    scores: Sequence[TraceScoreJson]
    weight: float
    service: str | None
    first_token_ms: float | None
    models: Sequence[str]
    kept_apart: Mapping[str, str]
    similarity: float


class VersionJson(TypedDict, total=False):
    """One immutable version of an artifact."""

    ref: Required[str]
    kind: Required[str]
    name: Required[str]
    number: int
    version: str
    digest: str
    spec: Required[Mapping[str, Json]]
    refs: Mapping[str, str]
    blobs: Mapping[str, str]
    description: str
    tags: Mapping[str, str]
    owner: str
    aliases: Sequence[str]
    created: str
    by: str


class ReleaseJson(TypedDict, total=False):
    """An application's lock: every reference resolved to a digest."""

    ref: str
    digest: Required[str]
    root: Required[str]
    lock: Mapping[str, Json]
    hermetic: bool
    why_not_hermetic: Sequence[str]
    signature: Mapping[str, str] | None
    fingerprint: str | None
    artifacts: Sequence[Mapping[str, Json]] | int
    created: str


class EndpointJson(TypedDict, total=False):
    """A stable address and what it serves."""

    name: Required[str]
    release: Required[str | None]
    environment: str | None
    previous: str | None
    app: Required[str]
    updated: str
    rollout: RolloutJson | None
    etag: str | None
    history: Required[Sequence[Mapping[str, str]]]


class KeyJson(TypedDict, total=False):
    """An API key; `key`, its text, is shown once, when it is made."""

    id: Required[str]
    key: str
    role: str
    person: str | None
    endpoints: Sequence[str]
    models: Sequence[str]
    limits: JsonObject
    team: str | None
    month: UsedJson
    may: Sequence[str] | None
    project: str
    created: str
    expires: str | None
    used: str | None
    state: Literal["valid", "expired", "revoked"]
    revoked: bool
    replaces: str
