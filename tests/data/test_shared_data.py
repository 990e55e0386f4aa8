"""The same code on real documents: they are as strange as nobody would write them for a test."""

import gzip
import json
import math

import pytest

from tidemill.core.records import Chunk, Document
from tidemill.data.build import Entry, chunk_document
from tidemill.data.chunk import StructureChunker
from tidemill.data.filters import Fields
from tidemill.data.providers.bm25 import Bm25
from tidemill.data.search import LoadedIndex
from tidemill.data.source import SourceFile, read_document

SPEC = {"chunk": {"strategy": "structure", "max_chars": 1200, "min_chars": 200, "overlap": 0}}


def lines(path):
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def documents(folder, ending) -> dict[str, Document]:
    paths = sorted((folder / "docs").rglob(f"*.{ending}"))
    assert paths, f"no .{ending} below {folder}"
    files = (
        SourceFile(id=path.relative_to(folder / "docs").as_posix(), format=ending, content=path.read_bytes()) for path in paths
    )
    return {each.id: read_document(each) for each in files}


def search_over(chunks: list[Chunk]) -> LoadedIndex:
    text = Bm25.build([each.embedded_text for each in chunks])
    return LoadedIndex(chunks=chunks, fields=Fields(chunks), text=text, vectors=None)


def chunks_of(made) -> list[Chunk]:
    return [chunk for document in made for chunk in StructureChunker().chunk(document)]


@pytest.mark.parametrize(
    ("name", "ending", "share"), [("docs_sqlite", "html", 0.99), ("docs_peps", "rst", 0.97), ("docs_fastapi", "md", 0.93)]
)
def test_headings_are_those_that_the_source_lists(shared_data, name, ending, share):
    found = documents(shared_data / name, ending)
    wanted = [
        (row["doc"], heading)
        for row in lines(shared_data / name / "headings.jsonl")
        for heading in (row.get("sections") or [row.get("heading")])
        if heading
    ]
    have = sum(doc in found and any(each.title == heading for each in found[doc].sections) for doc, heading in wanted)
    assert have >= share * len(wanted)
    for document in found.values():
        for chunk in StructureChunker().chunk(document):
            assert document.text[chunk.start : chunk.end] == chunk.text
            assert len(chunk.text) <= 1200


def test_sqlite_pages_hold_no_menu_and_no_script(shared_data):
    page = documents(shared_data / "docs_sqlite", "html")["about.html"]
    assert "function toggle" not in page.text
    assert "Search Changelog" not in page.text
    assert "SQLite is an in-process library" in " ".join(page.text.split())


def test_sqlite_questions_find_their_page(shared_data):
    index = search_over(chunks_of(documents(shared_data / "docs_sqlite", "html").values()))
    questions = lines(shared_data / "docs_sqlite" / "faq.jsonl")
    found = 0
    for row in questions:
        hits = index.search(row["question"], vector=None, by_text=True, k=6, filter=None)
        found += any(each.chunk.document == row["gold_doc"] for each in hits)
    assert found >= 0.9 * len(questions)


def test_peps_carry_their_header_as_metadata_that_filters(shared_data):
    found = documents(shared_data / "docs_peps", "rst")
    wanted = {row["doc"]: row["status"] for row in lines(shared_data / "docs_peps" / "headings.jsonl")}
    assert {name: each.metadata.get("status") for name, each in found.items()} == wanted
    index = search_over(chunks_of(found.values()))
    hits = index.search("generators", vector=None, by_text=True, k=20, filter={"status": {"$ne": "Final"}})
    assert hits
    assert all(wanted[each.chunk.document] != "Final" for each in hits)


def test_ntsb_reports_have_pages(shared_data):
    paths = sorted((shared_data / "docs_ntsb" / "docs").glob("*.pdf"))[:5]
    for path in paths:
        chunks, problems = chunk_document(Entry(id=path.name, format="pdf", blob=""), path.read_bytes(), spec=SPEC)
        assert not problems
        assert chunks[0].metadata["page"] == 1
        assert chunks[-1].metadata["page"] == chunks[-1].metadata["pages"]
        assert "National Transportation Safety Board" in chunks[0].text


def test_full_text_ranks_cranfield_by_relevance(shared_data):
    folder = shared_data / "cranfield"
    chunks = [
        Chunk(id=row["id"], document=row["id"], start=0, end=len(row["text"]), text=row["text"])
        for row in lines(folder / "documents.jsonl.gz")
    ]
    index = search_over(chunks)
    gains: dict[str, dict[str, int]] = {}
    for row in lines(folder / "qrels.jsonl"):
        gains.setdefault(row["query_id"], {})[row["doc_id"]] = row["gain"]
    scores = [
        ndcg(
            [each.chunk.document for each in index.search(row["text"], vector=None, by_text=True, k=10, filter=None)],
            gains[row["id"]],
        )
        for row in lines(folder / "queries.jsonl")
        if any(gains.get(row["id"], {}).values())
    ]
    # Measured 0.356; a broken tokenizer or a lost term falls far below.
    assert sum(scores) / len(scores) > 0.34


def ndcg(found: list[str], gains: dict[str, int], k: int = 10) -> float:
    ideal = sorted(gains.values(), reverse=True)[:k]
    best = sum(gain / math.log2(place + 2) for place, gain in enumerate(ideal))
    return sum(gains.get(each, 0) / math.log2(place + 2) for place, each in enumerate(found[:k])) / best
