"""Every extension point, on one page.

A Protocol here is a promise: implement it, name it under the entry-point group in its docstring, and Tidemill finds it. The
built-in parts register in the same way. Each Protocol has a conformance kit in `tidemill.testing`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse
from tidemill.core.difference import Difference
from tidemill.core.errors import Invalid, Problem, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Chunk, Document, Material, Parsed, Progress, Score, Version
from tidemill.core.suggest import did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import Connection as Database

Door: TypeAlias = Literal["deploy", "rollback", "rollout", "promote", "alias"]
"""By which a release comes to answer."""


@runtime_checkable
class ChatProvider(Protocol):
    """Speaks one vendor's chat dialect. Group: `tidemill.chat_providers`. A factory without arguments is registered.

    Two more attributes are read where the registered class has them: `default_model` (the model when a document names none;
    empty when it needs none) and `connects` (False for what runs here and needs no connection).
    """

    name: str

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer. Raises `Unavailable`, `RateLimited`, `Denied` or `Invalid`; never retries.

        The error's `kind` says why, for whoever chooses what to ask instead.
        """
        ...

    def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncIterator[ChatDelta]:
        """Ask and yield pieces as they arrive. Closing the iterator closes the connection, so that the provider stops."""
        ...

    async def close(self) -> None:
        """Release connections and child processes."""
        ...


class AnswerReader(Protocol):
    """Reads an answer beside the bytes that pass on: what it said, what it used, and whether it came to its end."""

    began: bool
    """Whether something of the answer itself has come, so that no other model can be asked instead."""
    ended: bool
    """Whether the answer was whole."""
    error: TidemillError | None
    """What the provider refused or broke off with, though its status was a success."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes, cut anywhere. Never raises: what cannot be read is passed on and not counted."""
        ...

    def end(self) -> None:
        """The last byte has come; `ended` is right from here on."""
        ...

    def response(self) -> ChatResponse:
        """The answer so far."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RawAnswer:
    """A provider's answer as it was written. `status` is always a success: everything else is raised.

    `headers` (names in lower case) are those of the provider that mean something to a client, `content-type` among them.
    `chunks` are the bytes as they arrive; closing it closes the connection, so that the provider stops. `reader` is not fed
    yet: whoever passes the chunks on feeds it.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes]
    reader: AnswerReader


@runtime_checkable
class ForwardsRaw(Protocol):
    """What a provider has besides, when it takes a request of a dialect as it is written, and answers in the same.

    A client of that dialect then gets the provider's own bytes, with nothing read or written anew. Where there is a method
    `speaks(dialect, connection)`, it says whether the server of this connection has the dialect.
    """

    dialects: frozenset[Dialect]

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:
        """A model's own parameters (by OpenAI's names) in a dialect's words; what it has no word for is left out."""
        ...

    async def forward(
        self,
        dialect: Dialect,
        body: bytes,
        *,
        model: str,
        connection: Connection,
        stream: bool,
        headers: Mapping[str, str],
    ) -> RawAnswer:
        """Send `body`, in which `model` stands already, and wait for the answer's head.

        `headers` (names in lower case) are those of the client that belong to the dialect: `content-type`, `anthropic-beta`.
        Errors as for `ChatProvider.chat`, with their `kind`; never retries.
        """
        ...


@runtime_checkable
class EmbedProvider(Protocol):
    """Turns texts into vectors. Group: `tidemill.embed_providers`. A factory without arguments is registered.

    Read where the class has them: `default_model` and `connects` as for `ChatProvider`, `batch_size` (texts a call, 128) and
    `at_once` (calls at a time, 4).
    """

    name: str

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. Errors as for `ChatProvider.chat`."""
        ...

    async def close(self) -> None:
        """Release connections and child processes."""
        ...


class Files(Protocol):
    """The files of a project folder, as an artifact kind sees them. Paths are relative, with `/`, and stay inside it."""

    def read(self, path: str) -> bytes:
        """A file's content. Raises `Invalid` when there is none, naming the nearest that exists."""
        ...

    def list(self, folder: str) -> Sequence[str]:
        """Every file below `folder`, sorted. Raises `Invalid` when there is no such folder."""
        ...

    def put_blob(self, content: bytes) -> str:
        """Keep content in the blob store; its digest."""
        ...

    def has_blob(self, digest: str) -> bool:
        """Whether the blob store holds it."""
        ...


@runtime_checkable
class ArtifactKind(Protocol):
    """How a kind of artifact joins the registry. Group: `tidemill.kinds`. A factory without arguments is registered."""

    name: str
    versioned: bool
    """False for configuration outside every digest: connections and endpoints."""

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Check a document's body (without kind, name, description, tags, owner) and make it canonical.

        Raises `Invalid` with one `Problem` a mistake; a problem's `where` is the place in the body, as in `steps.1.prompt`.
        """
        ...

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Mistakes that show only beside what it references (`resolved`, by reference as written)."""
        ...

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """What changed, a line each, as a person would want to read it."""
        ...


class BlobReader(Protocol):
    """Where the blobs of versions are read."""

    def get(self, digest: str) -> bytes:
        """A blob's content. Raises `NotFound` for one that was erased or never kept, `Unavailable` for a damaged one."""
        ...


@runtime_checkable
class ExplainsChanges(Protocol):
    """What an `ArtifactKind` may have besides, when what changed is in its blobs or is more than a line a value.

    Where a kind has no such method, or a blob cannot be read, `diff` is asked, and the values are compared by path.
    """

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:
        """What changed between two versions of this kind: lines for a person, values by path, rows and documents counted.

        Which references moved is told apart from this. The same version twice gives an empty difference. It may be slow: it is
        called on a worker thread, outside of any transaction.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a document is made among: the blobs of its version, the body that stands in the project now, and what that names."""

    blobs: BlobReader
    body: JsonObject | None = None
    files: Files | None = None


@runtime_checkable
class Materialises(Protocol):
    """What an `ArtifactKind` has besides, when a version's spec is not a document's body by itself.

    Where a kind has no such method, the spec is taken for the body. `parse` of what is made gives the version again.
    """

    def materialise(self, version: Version, *, around: Surroundings) -> Material:
        """The body, and the files that it names; what need not change stays as it is in `around.body`.

        Raises `Invalid` for what no document can say.
        """
        ...


@runtime_checkable
class DocumentParser(Protocol):
    """Reads one file format. Group: `tidemill.document_parsers`, named by file ending. A factory is registered."""

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The document's text, title and sections. Raises `Invalid` saying why it cannot be read (encrypted, corrupt …)."""
        ...


@runtime_checkable
class Chunker(Protocol):
    """Cuts documents into chunks. Group: `tidemill.chunkers`. A factory that takes the options as keywords is registered."""

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """Pieces in order; each has its offsets into the document's text."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A function from the fields it declares to scores. Group: `tidemill.scorers`. A factory taking options is registered.

    `reads` is a subset of `input`, `output`, `reference`, `context`, `gold`, `retrieved` (ids of retrieved documents, best
    first), `retrieved_text`, `metadata`. `version` changes whenever the same fields could give other scores.
    `binary` says that every score is 0 or 1, so that a comparison uses McNemar's test.
    """

    @property
    def name(self) -> str:
        """The metric's name, unless a project gives it another."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """The fields that it is given."""
        ...

    @property
    def version(self) -> str:
        """Part of every score's key."""
        ...

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1."""
        ...

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score one sample by the declared fields, and no others. Larger is better."""
        ...


@runtime_checkable
class Check(Protocol):
    """What a guardrail runs. Group: `tidemill.checks`. A factory that takes the options as keywords is registered.

    Of a stream it is shown the last piece with some of what went before; with the attribute `reads_all` (True), all of it.
    """

    name: str

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Findings: (start, end, label) in characters of `text`; none means that it passes."""
        ...


@runtime_checkable
class Redactor(Protocol):
    """Finds in a text what should not be stored. Group: `tidemill.redactors`; a factory that takes the options as keywords.

    `kind: telemetry` names it as a `detector`.
    """

    name: str

    def find(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Findings: (start, end, label) in characters of `text`. It may be slow: it is called on a worker thread."""
        ...


class JobContext(Protocol):
    """What a job's handler is given besides its payload."""

    job_id: str
    project: str

    async def report(self, progress: Progress) -> None:
        """Store and show progress; raises the cancellation of the surrounding scope when the job was cancelled."""
        ...


@runtime_checkable
class JobHandler(Protocol):
    """Does one kind of long work. It may be started again after a kill, so each of its steps is idempotent."""

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Do the work and return its result as JSON."""
        ...


class PolicyCheck(Protocol):
    """Whether a release may go through a door; what changes what answers takes one, so that nothing goes around a policy."""

    def check(
        self,
        db: Database,
        project: str,
        *,
        door: Door,
        target: str,
        release: str,
        who: str,
        role: str | None = None,
    ) -> None:
        """Return when it may; the decision is in the audit when a policy protects the target.

        Call it within the write transaction that makes the change. `target` is `endpoint/x` or `chain/x@production`; `release`
        the digest that would answer (for an alias of what is no application, the version's); `who` as the audit names them;
        `role` that of the key they act by (None: those of all their keys). Raises `Denied`, which says what is missing and the
        command that supplies it.
        """
        ...


@functools.cache
def _entry_points(group: str) -> Mapping[str, metadata.EntryPoint]:
    return {each.name: each for each in metadata.entry_points(group=f"tidemill.{group}")}


def extension_names(group: str) -> Iterable[str]:
    """The names registered in a group, as in `chat_providers`."""
    return sorted(_entry_points(group))


def load_extension(group: str, name: str) -> object:
    """Load what is registered as `name` in `group`. Raises `Invalid` with the nearest name when there is none."""
    found = _entry_points(group).get(name)
    if found is None:
        what = group.replace("_", " ").removesuffix("s")
        raise Invalid(f"{name!r} is not a known {what}", hint=did_you_mean(name, _entry_points(group)))
    return found.load()
