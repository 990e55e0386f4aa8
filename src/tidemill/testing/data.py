"""Kits for document parsers and chunkers."""

from __future__ import annotations

import contextlib

from tidemill.core.errors import Invalid
from tidemill.core.extend import Chunker, DocumentParser
from tidemill.core.records import Document, Section

_TEXT = "Title\n\nFirst paragraph, with a few words.\n\nSecond — with “quotes” and an emoji 🙂.\n\n" + "word " * 2000


def check_document_parser(parser: DocumentParser, *, content: bytes, words: tuple[str, ...]) -> None:
    """`content` must parse into a document that holds `words`; sections lie inside the text; garbage raises `Invalid`."""
    document = parser.parse(content, id="sample")
    assert document.id == "sample", "a parser keeps the id that it is given"
    for word in words:
        assert word in document.text, f"the text lacks {word!r}"
    for section in document.sections:
        assert 0 <= section.start <= section.end <= len(document.text), f"section {section.title!r} lies outside the text"
    assert parser.parse(content, id="sample") == document, "parsing twice gives the same document"
    for garbage in (b"", b"\xff\xfe\x00\x00\x01", b"\x00" * 64):
        with contextlib.suppress(Invalid):
            parser.parse(garbage, id="garbage")


def check_chunker(chunker: Chunker, document: Document | None = None) -> None:
    """Chunks are exact slices in order, cover every word, have distinct ids, and are the same each time."""
    sample = document or Document(
        id="sample", text=_TEXT, title="Title", sections=(Section(title="Title", level=1, start=0, end=len(_TEXT)),)
    )
    chunks = chunker.chunk(sample)
    assert chunks, "a document with text has chunks"
    for chunk in chunks:
        assert chunk.document == sample.id, "a chunk names its document"
        assert sample.text[chunk.start : chunk.end] == chunk.text, f"chunk {chunk.id} is not the slice that it claims"
        assert chunk.text.strip(), f"chunk {chunk.id} is empty"
        assert chunk.digest, f"chunk {chunk.id} has no digest"
    assert len({chunk.id for chunk in chunks}) == len(chunks), "ids repeat"
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks), "chunks are out of order"
    covered = bytearray(len(sample.text))
    for chunk in chunks:
        covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    lost = [place for place, is_covered in enumerate(covered) if not is_covered and sample.text[place].isalnum()]
    assert not lost, f"text at {lost[0]} is in no chunk"
    assert list(chunker.chunk(sample)) == list(chunks), "chunking twice gives the same chunks"
    assert not chunker.chunk(Document(id="empty", text="")), "an empty document has no chunks"
