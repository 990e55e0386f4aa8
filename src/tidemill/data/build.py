"""From a manifest of documents to chunks, and from chunks to what a search loads: pure, without a database or a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Chunker, load_extension
from tidemill.core.json import Json, JsonObject, dump_json, parse_json
from tidemill.core.records import Chunk
from tidemill.data import chunk as chunking
from tidemill.data.filters import Fields
from tidemill.data.providers import bm25, hnsw
from tidemill.data.search import LoadedIndex
from tidemill.data.source import SourceFile, read_document
from tidemill.data.vectors import EXACT_LIMIT, ExactVectors, ManyVectors, VectorSearch
from tidemill.data.words import VERSION as WORDS

if TYPE_CHECKING:
    from tidemill.data.rank import Scores

PARSERS = "parsers/1"
ENGINE = f"{PARSERS} {chunking.VERSION} {WORDS} {bm25.VERSION} {hnsw.VERSION}"
"""Changes whenever the same documents could give another index; a build by another engine is made again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A document of an index version: its id, the format it is in, and the blob with its bytes."""

    id: str
    format: str
    blob: str


def read_manifest(content: bytes) -> list[Entry]:
    """The documents of an index version, from its blob `documents`."""
    entries = cast("Sequence[Mapping[str, str]]", parse_json(content, what="an index's manifest"))
    return [Entry(id=each["id"], format=each["format"], blob=each["blob"]) for each in entries]


def cutting_digest(spec: JsonObject) -> str:
    """What decides a document's chunks besides the document."""
    return digest_json({"chunk": spec["chunk"], "parsers": PARSERS, "chunker": chunking.VERSION})


def chunk_document(entry: Entry, content: bytes, *, spec: JsonObject) -> tuple[list[Chunk], list[Problem]]:
    """Parse and cut one document. One that cannot be read gives no chunk and a problem."""
    options = dict(cast("JsonObject", spec["chunk"]))
    strategy = str(options.pop("strategy"))
    chunker = cast("Callable[..., Chunker]", load_extension("chunkers", strategy))(**options)
    try:
        document = read_document(SourceFile(id=entry.id, format=entry.format, content=content))
        chunks = list(chunker.chunk(document))
    except Invalid as error:
        return [], [Problem(message=f"{error.message}; it is not indexed", where=entry.id, hint=error.hint)]
    pages = cast("Sequence[int]", document.metadata.get("unreadable_pages") or ())
    listed = ", ".join(map(str, pages))
    return chunks, [Problem(message=f"pages that cannot be read: {listed}", where=entry.id)] if pages else []


def dump_chunks(chunks: Sequence[Chunk]) -> bytes:
    """Chunks as JSON Lines."""
    return b"".join(
        dump_json(
            [each.id, each.document, each.start, each.end, each.text, list(each.headings), dict(each.metadata), each.digest]
        )
        + b"\n"
        for each in chunks
    )


def load_chunks(content: bytes) -> list[Chunk]:
    """Read what `dump_chunks` wrote."""
    return [_chunk(parse_json(line, what="an index's chunk")) for line in content.split(b"\n") if line]


def _chunk(row: Json) -> Chunk:
    id_, document, start, end, text, headings, metadata, digest = cast(
        "tuple[str, str, int, int, str, list[str], JsonObject, str]", row
    )
    return Chunk(
        id=id_, document=document, start=start, end=end, text=text, headings=tuple(headings), metadata=metadata, digest=digest
    )


def make_searchable(chunks: Sequence[Chunk], rows: Scores | None) -> tuple[dict[str, bytes], JsonObject]:
    """What a search loads, by role, and the facts needed to load it."""
    made = {"chunks": dump_chunks(chunks), "text": bm25.Bm25.build([each.embedded_text for each in chunks]).dump()}
    if rows is None:
        return made, {}
    facts: dict[str, Json] = {"dimensions": rows.shape[1]}
    if len(rows) > EXACT_LIMIT:
        graph = hnsw.Hnsw.build(rows)
        return made | {"graph": graph.dump()}, facts | {"ef": graph.ef}
    return made | {"vectors": rows.astype("<f4").tobytes()}, facts


def load(blobs: Mapping[str, str], facts: JsonObject, *, get: Callable[[str], bytes]) -> LoadedIndex:
    """Load what `make_searchable` made, from its blobs."""
    chunks = load_chunks(get(blobs["chunks"]))
    text = bm25.Bm25.load(get(blobs["text"]))
    return LoadedIndex(chunks=chunks, fields=Fields(chunks), text=text, vectors=_vectors(blobs, facts, get=get))


def _vectors(blobs: Mapping[str, str], facts: JsonObject, *, get: Callable[[str], bytes]) -> VectorSearch | None:
    if "graph" in blobs:
        return ManyVectors(hnsw.Hnsw.load(get(blobs["graph"]), ef=cast("int", facts["ef"])))
    if "vectors" not in blobs:
        return None
    import numpy as np  # noqa: PLC0415  (heavy)

    rows = np.frombuffer(get(blobs["vectors"]), dtype="<f4").astype(np.float32)
    return ExactVectors(rows.reshape(-1, cast("int", facts["dimensions"])))
