import itertools

import pytest

from tidemill.core.clock import FixedClock, Ids
from tidemill.core.digests import artifact_digest
from tidemill.core.errors import Invalid
from tidemill.core.records import Progress, SpanRecord, Version
from tidemill.data.index import Indexes
from tidemill.data.kinds import IndexKind
from tidemill.models.service import Models
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.telemetry import Recorder

pytestmark = pytest.mark.anyio

DOCS = {
    "docs/with.md": "# The with statement\n\nA context manager sets up and tears down.\n\n## Syntax\n\n"
    + "with item as target. " * 40,
    "docs/try.md": "# The try statement\n\nException handlers catch errors that were raised.\n",
    "docs/for.md": "---\nlevel: basic\n---\n# The for statement\n\nIterates over the elements of a sequence.\n",
}
HERE = {"project": "default", "environment": "local"}


class Counted(Models):
    """The real models, with a count of the texts that were embedded."""

    embedded = 0

    async def embed(self, embedder, texts, **options):
        self.embedded += len(texts)
        return await super().embed(embedder, texts, **options)


class Room:
    """Real parts in a temporary folder."""

    def __init__(self, folder, memory_files):
        self.folder = folder
        self.memory_files = memory_files
        self.database = Database.open(folder / "meta.db")
        self.models = Counted(connection_for=self.no_connection)
        self.numbers = itertools.count(1)
        self.embedder = self.version("embedder", "words", {"provider": "test", "params": {}})
        self.indexes = self.open()

    async def no_connection(self, project, name, environment):
        return None

    def open(self) -> Indexes:
        return Indexes(database=self.database, blobs=self.blobs, models=self.models, clock=FixedClock())

    def blobs(self, project):
        return Blobs(self.folder / "blobs", project)

    def version(self, kind, name, spec, refs=None, blobs=None) -> Version:
        digest = artifact_digest(kind, spec=spec, refs=refs or {}, blobs=blobs or {})
        return Version(
            project="default", kind=kind, name=name, number=next(self.numbers), digest=digest, spec=spec,
            refs=refs or {}, blobs=blobs or {},
        )  # fmt: skip

    def index(self, docs, *, name="handbook", embed="embedder/words", **body) -> Version:
        files = self.memory_files(docs)
        parsed = IndexKind().parse({"source": "docs", "embed": embed, **body}, files=files)
        for content in files.blobs.values():
            self.blobs("default").put(content)
        refs = {embed: self.embedder.digest} if embed else {}
        return self.version("index", name, parsed.spec, refs, parsed.blobs)

    async def build(self, version, **options):
        return await self.indexes.build(version, embedder=self.embedder, **HERE, **options)

    async def ids(self, version, query, **options):
        hits = await self.indexes.search(version, embedder=self.embedder, query=query, **HERE, **options)
        return [each.chunk.document for each in hits]


@pytest.fixture
def room(tmp_path, memory_files):
    made = Room(tmp_path, memory_files)
    yield made
    made.database.close()


@pytest.mark.parametrize("mode", ["vector", "fulltext", "hybrid", None])
async def test_a_search_builds_the_index_and_finds_the_document(room, mode):
    version = room.index(DOCS)
    hits = await room.indexes.search(
        version, embedder=room.embedder, query="handlers catch errors in a statement", mode=mode, k=2, **HERE
    )
    assert hits[0].chunk.document == "try.md"
    assert hits[0].chunk.headings == ("The try statement",)
    assert hits[0].chunk.metadata == {"format": "markdown", "title": "The try statement"}
    assert [each.rank for each in hits] == [1, 2]
    assert hits[0].score > hits[1].score or mode == "hybrid"


async def test_only_what_changed_is_embedded_and_what_is_gone_is_not_found(room):
    first = await room.build(room.index(DOCS))
    assert (first.documents, first.embedded, first.reused, first.removed) == (3, first.chunks, 0, 0)
    changed = {**DOCS, "docs/try.md": "# The try statement\n\nNow about finally.\n", "docs/new.md": "# New\n\nQuite new.\n"}
    del changed["docs/for.md"]
    room.models.embedded = 0
    version = room.index(changed)
    second = await room.build(version)
    assert (second.documents, second.embedded, second.reused, second.removed) == (3, 2, second.chunks - 2, 2)
    assert room.models.embedded == 2
    assert "for.md" not in await room.ids(version, "iterates over the elements of a sequence", k=10)
    assert (await room.ids(version, "finally"))[0] == "try.md"


async def test_building_again_and_a_copy_under_another_name_embed_nothing(room):
    await room.build(room.index(DOCS))
    room.models.embedded = 0
    again = await room.build(room.index(DOCS))
    assert (again.embedded, again.reused, again.removed) == (0, again.chunks, 0)
    other = await room.build(room.index(DOCS, name="other", search={"k": 3}))
    assert (other.embedded, other.reused) == (0, other.chunks)
    assert room.models.embedded == 0


async def test_going_back_to_an_older_version_finds_what_it_had(room):
    old = room.index(DOCS)
    await room.build(old)
    await room.build(room.index({"docs/try.md": DOCS["docs/try.md"]}))
    assert (await room.ids(old, "elements of a sequence"))[0] == "for.md"


async def test_a_build_that_was_cut_off_goes_on_where_it_was(room, monkeypatch):
    monkeypatch.setattr("tidemill.data.index.EMBED_AT_ONCE", 1)
    version = room.index(DOCS)

    async def stop_at_the_second(progress: Progress):
        if progress.unit == "chunks" and progress.done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await room.build(version, report=stop_at_the_second)
    assert room.models.embedded == 2
    report = await room.build(version)
    assert report.reused == 2
    assert room.models.embedded == report.chunks


async def test_progress_counts_to_the_end(room):
    seen: list[Progress] = []

    async def note(progress):
        seen.append(progress)

    report = await room.build(room.index(DOCS), report=note)
    assert seen[2] == Progress(done=3, total=3, unit="documents")
    assert seen[-1] == Progress(done=report.chunks, total=report.chunks, unit="chunks")


async def test_a_new_process_reads_what_was_built(room):
    version = room.index(DOCS)
    before = await room.ids(version, "context manager")
    room.models.embedded = 0
    room.indexes = room.open()
    assert await room.ids(version, "context manager") == before
    assert room.models.embedded == 1


async def test_what_is_derived_can_be_lost_and_is_made_again(room):
    version = room.index(DOCS)
    before = await room.ids(version, "context manager")
    for path in (room.folder / "blobs").rglob("*"):
        if path.is_file() and not any(path == room.blobs("default").path(each) for each in originals(room, version)):
            path.unlink()
    room.indexes = room.open()
    room.models.embedded = 0
    assert await room.ids(version, "context manager") == before
    assert room.models.embedded == 1


def originals(room, version):
    from tidemill.data.build import read_manifest

    manifest = version.blobs["documents"]
    return [manifest, *(each.blob for each in read_manifest(room.blobs("default").get(manifest)))]


async def test_a_repeated_query_is_embedded_once_and_only_a_call_is_a_span(room):
    version = room.index(DOCS)
    await room.build(version)
    records: list[SpanRecord] = []
    room.models.embedded = 0
    with Recorder(records.append, ids=Ids(), clock=FixedClock()).trace("t", kind="retriever", project="default") as span:
        first = await room.ids(version, "sequence", span=span)
        assert (await room.indexes.search(version, embedder=room.embedder, query="sequence", **HERE)).embedded == 0
        assert (await room.indexes.search(version, embedder=room.embedder, query="other", **HERE)).embedded == 1
        assert await room.ids(version, "sequence", span=span) == first
        await room.ids(version, "sequence", span=span, mode="fulltext")
    assert room.models.embedded == 2
    assert [each.kind for each in records] == ["embedding", "retriever"]


async def test_an_index_without_an_embedder_searches_words_only(room):
    version = room.index(DOCS, embed=None)
    hits = await room.indexes.search(version, embedder=None, query="elements", mode="hybrid", **HERE)
    assert [each.chunk.document for each in hits] == ["for.md"]
    with pytest.raises(Invalid, match="has no vectors"):
        await room.indexes.search(version, embedder=None, query="elements", mode="vector", **HERE)
    assert room.models.embedded == 0


async def test_metadata_of_the_front_matter_filters(room):
    assert await room.ids(room.index(DOCS), "statement", filter={"level": "basic"}) == ["for.md"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"query": " "}, "the query is blank"),
        ({"query": "a", "k": 0}, "k is 0"),
        ({"query": "a", "k": 1001}, "k is 1001"),
        ({"query": "a", "mode": "fuzzy"}, "'fuzzy' is not a search mode"),
        ({"query": "a", "filter": {"levle": 1}}, "no chunk has the field 'levle'"),
    ],
)
async def test_a_wrong_search_gets_one_clear_line(room, options, words):
    with pytest.raises(Invalid, match=words):
        await room.indexes.search(room.index(DOCS), embedder=room.embedder, **HERE, **options)


async def test_building_without_the_embedder_of_the_spec_is_refused(room):
    with pytest.raises(Invalid, match="needs its embedder embedder/words"):
        await room.indexes.build(room.index(DOCS), embedder=None, **HERE)


async def test_a_document_that_breaks_while_it_is_read_is_reported_and_the_rest_is_indexed(room):
    docs = {**DOCS, "docs/nothing.html": "<html><script>let a = 1</script></html>"}
    version = room.index(docs)
    report = await room.build(version)
    assert report.documents == 3
    assert [(each.where, each.message) for each in report.problems] == [
        ("nothing.html", "nothing.html holds no text; it is not indexed")
    ]
    assert (await room.build(version)).problems == report.problems
    with pytest.raises(Invalid, match="none of its documents can be read"):
        await room.build(room.index({"docs/nothing.html": "<script>1</script>"}))


async def test_searches_at_the_same_time_build_once(room):
    import anyio

    version = room.index(DOCS)
    answers: list[list[str]] = []

    async def ask():
        answers.append(await room.ids(version, "elements of a sequence"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)
    assert len({tuple(each) for each in answers}) == 1
    report = await room.build(version)
    assert room.models.embedded <= report.chunks + 8


async def test_the_python_mapping_is_indexed_by_its_topics(room):
    version = room.index({}, source={"python": "pydoc_data.topics:topics"})
    found = await room.ids(version, "context managers with statement __enter__ __exit__", k=5)
    assert {"with", "context-managers"} & set(found[:3])
