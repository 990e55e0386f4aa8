"""Records that pass between the floors. All are frozen; none knows how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from tidemill.core.chat import Usage
from tidemill.core.errors import Problem
from tidemill.core.json import Json, JsonObject

SpanKind: TypeAlias = Literal[
    "chain", "agent", "llm", "retriever", "tool", "embedding", "reranker", "guardrail", "evaluator", "other"
]
SpanStatus: TypeAlias = Literal["ok", "error", "unset"]
JobStatus: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One immutable version of an artifact.

    `spec` is its canonical content; `refs` maps each reference as written in the spec to the digest it resolved to;
    `blobs` maps a role to a blob's digest. Name, number, description, tags and owner stand outside the digest.
    """

    project: str
    kind: str
    name: str
    number: int
    digest: str
    spec: JsonObject
    refs: Mapping[str, str] = field(default_factory=dict[str, str])
    blobs: Mapping[str, str] = field(default_factory=dict[str, str])
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = ""
    created_ns: int = 0

    @property
    def bare(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"

    @property
    def ref(self) -> str:
        """`kind/name@vN`, to paste into the next command."""
        return f"{self.kind}/{self.name}@v{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """An application ready to run: a root version and every version that it needs, direct or not, by digest.

    `release` is the digest of the release that locks them.
    """

    release: str
    root: Version
    versions: Mapping[str, Version]
    hermetic: bool = True

    def resolve(self, owner: Version, reference: str) -> Version:
        """What `reference`, as written in `owner`, was locked to."""
        return self.versions[owner.refs[reference]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and the text below it: `[start, end)` in Unicode characters of the document; `level` from 1."""

    title: str
    level: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A source text with provenance. `id` is stable within its source (a relative path, a mapping's key)."""

    id: str
    text: str
    title: str = ""
    sections: tuple[Section, ...] = ()
    metadata: JsonObject = field(default_factory=dict[str, Json])
    digest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of a document: `text == document.text[start:end]`. `id` is `document#ordinal`.

    `digest` covers what is embedded (heading path and text), so the same piece elsewhere is embedded once.
    """

    id: str
    document: str
    start: int
    end: int
    text: str
    headings: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict[str, Json])
    digest: str = ""

    @property
    def embedded_text(self) -> str:
        """What an embedder and full text see: the heading path, then the text."""
        return "\n".join((" > ".join(self.headings), self.text)) if self.headings else self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A chunk that a search found; a larger `score` is better, comparable only within one search."""

    chunk: Chunk
    score: float
    rank: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One row of a dataset, its columns read by their roles."""

    id: str
    input: Json
    reference: Json = None
    context: Json = None
    gold: Json = None
    metadata: JsonObject = field(default_factory=dict[str, Json])
    row: JsonObject = field(default_factory=dict[str, Json])
    digest: str = ""


class SpanRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A finished span. Ids are hexadecimal (32 for the trace, 16 for the span); times in nanoseconds since the epoch, UTC.

    `cost` is in US dollars; None when no price is known. `first_token_ns` is counted from the start. `weight` is how many
    spans this one stands for after sampling, at least 1. `service` and `scope` name the program and the instrumentation that
    sent it, `dialect` the table of `telemetry/dialects` that read it (empty: recorded here). What no field holds is in
    `attributes`, `events`, `links` and `resource` as it came. `input_at` and `output_at` name where a value too large for a
    row is kept (`telemetry/privacy/payloads.py`); `input` and `output` are then its beginning.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    project: str
    status: SpanStatus = "unset"
    error: str | None = None
    input: Json = None
    output: Json = None
    model: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    release: str | None = None
    endpoint: str | None = None
    step: str | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    attributes: JsonObject = msgspec.field(default_factory=dict[str, Json])
    provider: str | None = None
    first_token_ns: int | None = None
    finish_reasons: tuple[str, ...] = ()
    service: str = ""
    scope: str = ""
    dialect: str = ""
    weight: float = 1.0
    events: tuple[JsonObject, ...] = ()
    links: tuple[JsonObject, ...] = ()
    resource: JsonObject = msgspec.field(default_factory=dict[str, Json])
    input_at: str = ""
    output_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One number that a scorer gave one sample; None with `error` when it could not."""

    metric: str
    value: float | None
    error: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a job is."""

    done: int = 0
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Any long work: durable, resumable, with progress and cancel."""

    id: str
    project: str
    kind: str
    status: JobStatus
    payload: JsonObject
    progress: Progress = field(default_factory=Progress)
    result: Json = None
    error: str | None = None
    created_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """What an artifact kind made of a document's body.

    `references` maps the place in the body (`steps.1.prompt`) to the reference as written there. `blobs` maps a role to the
    digest of content that is already in the blob store. `notes` are problems that do not stop it, such as a file that could
    not be read while the rest is fine.
    """

    spec: JsonObject
    references: Mapping[str, str] = field(default_factory=dict[str, str])
    blobs: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[Problem, ...] = ()
    hermetic: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """A document's body made of a version, and the files that it names, by path.

    `files` stand beside the document, as it names them; `modules` are the project's own code, from its root.
    """

    body: JsonObject
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    modules: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
