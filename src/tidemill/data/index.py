"""Indexes: built from a version's documents, touching only what changed, and searched from memory."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import anyio
from anyio import to_thread
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, NotFound, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Chunk, Progress, Version
from tidemill.data import build as building
from tidemill.data.build import Entry
from tidemill.data.query import QueryVectors
from tidemill.data.search import Hits, LoadedIndex
from tidemill.data.specs import SearchMode
from tidemill.data.vectors import pack_rows
from tidemill.models.caller import Caller
from tidemill.models.service import Models
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.embeddings import get_vectors, put_vectors
from tidemill.store.index_builds import IndexBuild, get_build, put_build
from tidemill.telemetry import Span

if TYPE_CHECKING:
    from tidemill.data.rank import Scores

Report: TypeAlias = Callable[[Progress], Awaitable[None]]
T = TypeVar("T")
K = TypeVar("K")
EMBED_AT_ONCE = 64
_MOST_HITS = 1000
_LOADED, _LOADED_CHUNKS = 16, 500_000
_LOCKS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReport:
    """What a build did, in chunks: `embedded` now, `reused` from before, `removed` since the build before of that name.

    `problems` names the documents that could not be read; the rest is indexed.
    """

    documents: int
    chunks: int
    embedded: int = 0
    reused: int = 0
    removed: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cut:
    """All chunks of a version, how many each document has, and what could not be read."""

    chunks: list[Chunk] = field(default_factory=list[Chunk])
    counts: list[int] = field(default_factory=list[int])
    problems: list[Problem] = field(default_factory=list[Problem])


class Indexes:
    """Every index. Belongs to one event loop. `blobs` gives a project's blob store."""

    def __init__(self, *, database: Database, blobs: Callable[[str], Blobs], models: Models, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._models = models
        self._clock = clock
        self._queries = QueryVectors(models)
        self._loaded: OrderedDict[tuple[str, str], LoadedIndex] = OrderedDict()
        self._locks: OrderedDict[tuple[str, str], anyio.Lock] = OrderedDict()

    async def build(
        self, version: Version, *, project: str, embedder: Version | None, environment: str, report: Report | None = None
    ) -> BuildReport:
        """Make a version searchable. What is built already is not built again; a build that was cut off goes on where it was.

        A chunk whose text and headings were embedded before, by the same embedder, is not embedded again. Raises `Invalid` when
        no document can be read or the embedder is missing.
        """
        if (version.spec.get("embed") is None) != (embedder is None):
            needs = f"needs its embedder {version.spec['embed']}" if embedder is None else "has no embedder in its spec"
            raise Invalid(f"{version.ref} {needs}", hint="Build it with what its spec names.")
        async with self._lock(project, version):
            return await self._build(version, project=project, embedder=embedder, environment=environment, report=report)

    async def search(  # noqa: PLR0913  (what a retrieve step can say)
        self,
        version: Version,
        *,
        embedder: Version | None,
        query: str,
        k: int | None = None,
        mode: SearchMode | None = None,
        filter: JsonObject | None = None,  # noqa: A002  (the retrieve step's key)
        project: str,
        environment: str,
        span: Span | None = None,
        caller: Caller | None = None,
    ) -> Hits:
        """The best `k` chunks, best first; `k` and `mode` default to the index's own. Builds the index when it is not built.

        `hybrid` on an index without an embedder is full text. Scores: the cosine for `vector`, BM25 for `fulltext`, fused
        reciprocal ranks for `hybrid`. Raises `Invalid` for a blank query, an unknown filter field, `vector` without vectors.
        """
        k, mode = _options(version, query, k=k, mode=mode)
        loaded = await self._load(version, project=project, embedder=embedder, environment=environment)
        by_vector = mode != "fulltext" and loaded.vectors is not None and embedder is not None
        if mode == "vector" and not by_vector:
            raise Invalid(f"{version.ref} has no vectors", hint="Name an embedder in its embed, or search by fulltext.")
        vector: Scores | None = None
        is_new = False  # whether the query had to be embedded now
        if by_vector and embedder is not None:
            vector, is_new = await self._queries.get(
                query, embedder=embedder, caller=caller or Caller.internal(project, environment), span=span
            )
        by_text = mode != "vector"
        found = await to_thread.run_sync(lambda: loaded.search(query, vector=vector, by_text=by_text, k=k, filter=filter))
        hits = Hits(found)
        hits.embedded, hits.remembered = int(is_new), vector is not None and not is_new
        return hits

    def remembers(self, query: str, *, embedder: Version, project: str, environment: str) -> bool:
        """Whether a search by this query would ask the embedder for nothing."""
        return self._queries.knows(query, embedder=embedder, project=project, environment=environment)

    async def to_embed(self, version: Version, *, project: str, embedder: Version | None) -> int:
        """How many chunks a build of this version would embed. The documents that changed are cut for it, and not kept."""
        done = await self._database.read(lambda db: get_build(db, project, version.digest))
        if embedder is None or (done is not None and _is_current(done)):
            return 0
        before = await self._build_before(version, project)
        entries = await to_thread.run_sync(self._manifest, version, project)
        cut = await self._cut(version, entries, project=project, before=before, report=None)
        wanted = {each.digest for each in cut.chunks}
        known = await self._database.read(lambda db: get_vectors(db, project, embedder.digest, list(wanted)))
        return len(wanted - known.keys())

    async def _build(
        self, version: Version, *, project: str, embedder: Version | None, environment: str, report: Report | None
    ) -> BuildReport:
        done = await self._database.read(lambda db: get_build(db, project, version.digest))
        if done is not None and _is_current(done) and not self._blobs(project).missing(done.blobs.values()):
            await self._point_to(version, project)
            return _report_of(done)
        before = await self._build_before(version, project)
        entries = await to_thread.run_sync(self._manifest, version, project)
        cut = await self._cut(version, entries, project=project, before=before, report=report)
        if not cut.chunks:
            raise Invalid(f"{version.ref}: none of its documents can be read", problems=cut.problems)
        vectors, embedded = None, 0
        if embedder is not None:
            vectors, embedded = await self._embed(
                cut.chunks, embedder=embedder, project=project, environment=environment, report=report
            )
        made = await self._keep(version, project, cut=cut, entries=entries, vectors=vectors)
        kept = {(each.document, each.digest) for each in cut.chunks}
        old = {(each.document, each.digest) for each in before[1]}
        fresh = embedded if embedder is not None else len(kept - old)
        await self._point_to(version, project)
        return BuildReport(
            documents=made.documents,
            chunks=made.chunks,
            embedded=embedded,
            reused=len(cut.chunks) - fresh,
            removed=len(old - kept),
            problems=made.problems,
        )

    def _manifest(self, version: Version, project: str) -> list[Entry]:
        return building.read_manifest(self._blobs(project).get(version.blobs["documents"]))

    async def _build_before(self, version: Version, project: str) -> tuple[IndexBuild | None, list[Chunk]]:
        """The last build of the same name, with its chunks; nothing when there was none."""

        def find(db: Connection) -> IndexBuild | None:
            pointer = get_build(db, project, version.bare)
            if pointer is None or not isinstance(pointer.manifest, Mapping):
                return None
            return get_build(db, project, str(pointer.manifest["digest"]))

        build = await self._database.read(find)
        if build is None or "chunks" not in build.blobs or not self._blobs(project).has(build.blobs["chunks"]):
            return None, []
        digest = build.blobs["chunks"]
        return build, await to_thread.run_sync(lambda: building.load_chunks(self._blobs(project).get(digest)))

    async def _cut(
        self,
        version: Version,
        entries: Sequence[Entry],
        *,
        project: str,
        before: tuple[IndexBuild | None, list[Chunk]],
        report: Report | None,
    ) -> _Cut:
        known = _known_chunks(version, *before)
        blobs = self._blobs(project)
        cut = _Cut()
        for number, entry in enumerate(entries, 1):
            chunks, problems = known.get(entry), list[Problem]()
            if chunks is None:
                chunks, problems = await to_thread.run_sync(
                    lambda entry=entry: building.chunk_document(entry, blobs.get(entry.blob), spec=version.spec)
                )
            cut.chunks.extend(chunks)
            cut.counts.append(len(chunks))
            cut.problems.extend(problems)
            if report is not None:
                await report(Progress(done=number, total=len(entries), unit="documents"))
        return cut

    async def _embed(
        self, chunks: Sequence[Chunk], *, embedder: Version, project: str, environment: str, report: Report | None
    ) -> tuple[Scores, int]:
        """A row for each chunk, and how many had to be embedded. Each group is kept before the next is asked for."""
        texts = {each.digest: each.embedded_text for each in chunks}
        vectors = await self._database.read(lambda db: get_vectors(db, project, embedder.digest, list(texts)))
        wanted = [each for each in texts if each not in vectors]
        for start in range(0, len(wanted), EMBED_AT_ONCE):
            if report is not None:
                await report(Progress(done=len(texts) - len(wanted) + start, total=len(texts), unit="chunks"))
            group = wanted[start : start + EMBED_AT_ONCE]
            response = await self._models.embed(
                embedder, [texts[each] for each in group], caller=Caller.internal(project, environment)
            )
            made = {digest: response.vectors.row(place) for place, digest in enumerate(group)}
            now = self._clock.now_ns()
            await self._database.write(
                lambda db, made=made, now=now: put_vectors(db, project, embedder.digest, made, now_ns=now)
            )
            vectors |= made
        if report is not None:
            await report(Progress(done=len(texts), total=len(texts), unit="chunks"))
        return await to_thread.run_sync(lambda: pack_rows([vectors[each.digest] for each in chunks])), len(wanted)

    async def _keep(
        self, version: Version, project: str, *, cut: _Cut, entries: Sequence[Entry], vectors: Scores | None
    ) -> BuildReport:
        def make() -> tuple[dict[str, str], JsonObject]:
            blobs = self._blobs(project)
            contents, facts = building.make_searchable(cut.chunks, vectors)
            return {role: blobs.put(content) for role, content in contents.items()}, facts

        roles, facts = await to_thread.run_sync(make)
        documents: list[Json] = [
            {"id": entry.id, "format": entry.format, "blob": entry.blob, "chunks": count}
            for entry, count in zip(entries, cut.counts, strict=True)
        ]
        problems: list[Json] = [{"message": each.message, "where": each.where, "hint": each.hint} for each in cut.problems]
        manifest: JsonObject = {
            "engine": building.ENGINE,
            "cutting": building.cutting_digest(version.spec),
            "facts": facts,
            "documents": documents,
            "chunks": len(cut.chunks),
            "problems": problems,
        }
        built = IndexBuild(
            index_digest=version.digest, status="ready", manifest=manifest, blobs=roles, updated_ns=self._clock.now_ns()
        )
        await self._database.write(lambda db: put_build(db, project, built))
        self._loaded.pop((project, version.digest), None)
        return _report_of(built)

    async def _point_to(self, version: Version, project: str) -> None:
        """Note which version of this name was built last: the next one starts from its chunks."""
        manifest: JsonObject = {"digest": version.digest}
        pointer = IndexBuild(index_digest=version.bare, status="pointer", manifest=manifest, updated_ns=self._clock.now_ns())
        known = await self._database.read(lambda db: get_build(db, project, version.bare))
        if known is None or known.manifest != manifest:
            await self._database.write(lambda db: put_build(db, project, pointer))

    async def _load(self, version: Version, *, project: str, embedder: Version | None, environment: str) -> LoadedIndex:
        key = (project, version.digest)
        loaded = self._loaded.get(key)
        if loaded is None:
            await self.build(version, project=project, embedder=embedder, environment=environment)
            async with self._lock(project, version):
                loaded = self._loaded.get(key) or await self._read(version, project)
        _remember(self._loaded, key, loaded, limit=_LOADED)
        while len(self._loaded) > 1 and sum(len(each.chunks) for each in self._loaded.values()) > _LOADED_CHUNKS:
            self._loaded.popitem(last=False)
        return loaded

    async def _read(self, version: Version, project: str) -> LoadedIndex:
        build = await self._database.read(lambda db: get_build(db, project, version.digest))
        if build is None:
            raise NotFound(f"{version.ref} is not built", hint=f"Type: tidemill index build {version.bare}")
        facts = cast("JsonObject", cast("JsonObject", build.manifest)["facts"])
        return await to_thread.run_sync(lambda: building.load(build.blobs, facts, get=self._blobs(project).get))

    def _lock(self, project: str, version: Version) -> anyio.Lock:
        key = (project, version.digest)
        return _remember(self._locks, key, self._locks.get(key) or anyio.Lock(), limit=_LOCKS)


def _options(version: Version, query: str, *, k: int | None, mode: SearchMode | None) -> tuple[int, SearchMode]:
    if not query.strip():
        raise Invalid("the query is blank", where="query", hint="Say what to look for.")
    own = cast("JsonObject", version.spec.get("search") or {})
    count = k if k is not None else cast("int", own.get("k", 6))
    if not 1 <= count <= _MOST_HITS:
        raise Invalid(f"k is {count}", where="k", hint=f"Give 1 to {_MOST_HITS}.")
    chosen = mode or cast("SearchMode", own.get("mode", "hybrid"))
    if chosen not in {"vector", "fulltext", "hybrid"}:
        raise Invalid(f"{chosen!r} is not a search mode", where="mode", hint="Known: vector, fulltext, hybrid.")
    return count, chosen


def _is_current(build: IndexBuild) -> bool:
    return build.status == "ready" and isinstance(build.manifest, Mapping) and build.manifest.get("engine") == building.ENGINE


def _report_of(build: IndexBuild) -> BuildReport:
    """The report of a build that was found done: everything is reused."""
    manifest = cast("JsonObject", build.manifest)
    documents = cast("Sequence[Mapping[str, Json]]", manifest["documents"])
    problems = cast("Sequence[Mapping[str, str]]", manifest["problems"])
    count = cast("int", manifest["chunks"])
    return BuildReport(
        documents=sum(1 for each in documents if each["chunks"]),
        chunks=count,
        reused=count,
        problems=tuple(Problem(**each) for each in problems),
    )


def _known_chunks(version: Version, build: IndexBuild | None, chunks: Sequence[Chunk]) -> dict[Entry, list[Chunk]]:
    """The chunks of each document of the build before, when they would be cut in the same way now."""
    if build is None or not isinstance(build.manifest, Mapping):
        return {}
    if build.manifest.get("cutting") != building.cutting_digest(version.spec):
        return {}
    found: defaultdict[str, list[Chunk]] = defaultdict(list)
    for each in chunks:
        found[each.document].append(each)
    documents = cast("Sequence[Mapping[str, str]]", build.manifest["documents"])
    # A document without chunks could not be read: it is tried again, so that the problem is reported again.
    return {
        Entry(id=each["id"], format=each["format"], blob=each["blob"]): found[each["id"]]
        for each in documents
        if each["id"] in found
    }


def _remember(cache: OrderedDict[K, T], key: K, value: T, *, limit: int) -> T:
    """Put `value` in as the latest used, and let the least used go."""
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > limit:
        cache.popitem(last=False)
    return value
