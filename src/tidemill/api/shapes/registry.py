"""Answers of the registry: artifacts, versions, aliases, plans, releases, datasets, indexes."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class ProblemShape(TypedDict):
    """An error (RFC 9457). `type` is its page on this server, `instance` the request's id, `problems` each thing wrong."""

    type: str
    status: int
    code: str
    title: str
    detail: str
    hint: str
    instance: str
    where: NotRequired[str]
    retry_after: NotRequired[float]
    problems: NotRequired[list[PlacedProblem]]


class PlacedProblem(TypedDict):
    """One thing wrong, or worth knowing, with its place and what to do."""

    message: str
    where: str
    hint: str


class VersionShape(TypedDict):
    """One immutable version of an artifact."""

    ref: str
    kind: str
    name: str
    version: str
    number: int
    digest: str
    spec: dict[str, Any]
    refs: dict[str, str]
    blobs: dict[str, str]
    description: str
    tags: dict[str, str]
    owner: str
    created: str


class ConfigShape(TypedDict):
    """Configuration outside of every digest, as a connection: it has no versions."""

    ref: str
    kind: str
    name: str
    environment: str | None
    spec: dict[str, Any]
    description: str
    tags: dict[str, str]
    owner: str
    created: str


class ListedArtifactShape(VersionShape):
    """An artifact's latest version, and how many there are."""

    versions: int


class DeletedVersionShape(VersionShape):
    """A deleted version, and until when it can be restored."""

    deleted: str
    deleted_by: str
    why: str
    until: str


class ArtifactShape(VersionShape):
    """An artifact's latest version, and where its aliases point."""

    aliases: dict[str, str]


class AliasShape(TypedDict):
    """Where an alias points, and who moved it there."""

    alias: str
    ref: str
    version: str
    digest: str
    moved_by: str | None
    moved: str
    why: str


class MovedAliasShape(VersionShape):
    """The version that an alias points to now."""

    alias: str


class MovedReferenceShape(TypedDict):
    """A reference that leads to another version than before, or came, or went."""

    ref: str
    before: str | None
    after: str | None
    before_digest: str | None
    after_digest: str | None


class ChangeShape(TypedDict):
    """What an apply does to one artifact; `details` are lines for a person, more stands beside by kind."""

    ref: str
    action: Literal["create", "update", "unchanged", "delete"]
    path: str
    before: str | None
    after: str | None
    digest: str | None
    details: list[str]
    references: NotRequired[list[MovedReferenceShape]]


class DriftShape(TypedDict):
    """Where files and registry went different ways since the last apply."""

    ref: str
    case: str
    path: str
    environment: str | None
    files: str | None
    registry: str | None
    by: str
    when: str | None


class PlanShape(TypedDict):
    """What an apply would change. `notes` are problems that do not stop it, `digest` names this very plan."""

    changes: list[ChangeShape]
    notes: list[PlacedProblem]
    affects: list[str]
    digest: str
    drift: list[DriftShape]
    downstream: NotRequired[dict[str, Any]]
    rerun: NotRequired[Any]


class AppliedVersionShape(TypedDict):
    """A version that the files have now."""

    ref: str
    digest: str


class AppliedShape(PlanShape):
    """What an apply did; `jobs` are the builds that it started."""

    versions: list[AppliedVersionShape]
    jobs: list[str]


class MissingBlobsShape(TypedDict):
    """Digests that are not here yet."""

    missing: list[str]


class LockedShape(TypedDict):
    """A release, with its lock file and its signature."""

    digest: str
    root: str
    ref: str
    lock: dict[str, Any]
    signature: dict[str, Any] | None
    why_not_hermetic: NotRequired[Any]


class ListedReleaseShape(TypedDict):
    """A release by its digest; `artifacts` counts what it locks."""

    ref: str
    digest: str
    root: str
    hermetic: bool
    artifacts: int
    fingerprint: str | None
    created: str


class ReleaseShape(TypedDict):
    """A release and everything that it locks."""

    digest: str
    root: str
    hermetic: bool
    why_not_hermetic: Any
    signature: dict[str, Any] | None
    artifacts: list[VersionShape]


class VerifiedLineShape(TypedDict):
    """One thing that was checked."""

    what: str
    name: str
    state: str
    detail: str


class VerifiedShape(TypedDict):
    """Whether a release is there and unchanged but for what was erased."""

    digest: str
    root: str
    holds: bool
    fingerprint: str | None
    lines: list[VerifiedLineShape]


class DeletedShape(TypedDict):
    """Versions that are deleted now, and the latest that is left."""

    deleted: list[str]
    latest: str | None


class RestoredShape(TypedDict):
    """Versions that are back, and the latest now."""

    restored: list[str]
    latest: str | None


class PurgedShape(TypedDict):
    """Versions that are gone for good, and how many blobs with them."""

    purged: list[str]
    blobs: int


class ErasedShape(TypedDict):
    """What an erasure took away."""

    rows: int
    blobs: int
    versions: list[str]
    evaluation_samples: int
    steps: int
    scores: int


class ReleaseChangeShape(TypedDict):
    """One component that differs."""

    ref: str
    action: Literal["create", "update", "remove"]
    details: list[str]


class ReleaseDiffShape(TypedDict("_FromTo", {"from": str})):
    """What changed between two releases, component by component."""

    to: str
    changes: list[ReleaseChangeShape]


class SampleShape(TypedDict):
    """One row of a dataset by its roles."""

    id: str
    digest: str
    input: Any
    reference: Any
    row: dict[str, Any]


class AppendedShape(TypedDict):
    """What an append did, and the version that is the latest now."""

    dataset: str | None
    digest: str | None
    rows: int
    added: int
    filled: int
    known: int


class GatheredShape(AppendedShape):
    """What became of the traces that were looked at."""

    traces: int
    joined: int
    skipped: dict[str, int]
    samples: list[dict[str, Any]]


class JobStartedShape(TypedDict):
    """The job that was started."""

    job: str


class HitShape(TypedDict):
    """A chunk that was found."""

    id: str
    document: str
    score: float
    rank: int
    text: str
    headings: list[str]
    start: int
    end: int
    metadata: dict[str, Any]
