"""Files that are almost right: a mark at the beginning is read past, a PDF that cannot be read is told and the rest indexed."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.processes import Server, Shell

INDEX = "kind: index\nname: docs\nsource: documents\nsearch: {mode: fulltext}\n"


@pytest.fixture
def here(server: Server, folder: Path) -> Shell:
    """Commands in a folder of the test's own, at the module's server."""
    return Shell(folder, {"TIDEMILL_DATA": str(server.data)})


def test_a_byte_order_mark_is_no_part_of_the_data(here: Shell) -> None:
    here.write(data="\ufeffkind: dataset\nname: d\npath: rows.csv\nroles: {input: question}\n")
    (here.folder / "rows.csv").write_bytes(b"\xef\xbb\xbfquestion,answer\nwhy,because\n")
    assert [each["ref"] for each in here.json("apply")["changes"]] == ["dataset/d"]
    assert here.json("show", "dataset/d")["spec"]["columns"] == {"question": "text", "answer": "text"}


def test_bad_pdfs_are_told_and_the_rest_is_indexed(here: Shell) -> None:
    pypdf = pytest.importorskip("pypdf", reason="needs the extra rag")
    documents = here.folder / "documents"
    documents.mkdir()
    (documents / "good.md").write_text("# Tides\n\nThe moon moves the tide.\n")
    (documents / "corrupt.pdf").write_bytes(b"%PDF-1.7\n1 0 obj <<nonsense" + bytes(range(256)) * 4)
    (documents / "unreadable.pdf").write_bytes(b"")
    with pypdf.PdfWriter() as writer:
        writer.add_blank_page(200, 200)
        writer.encrypt("secret", algorithm="RC4-128")
        writer.write(documents / "encrypted.pdf")
    here.write(index=INDEX)
    ended = here("apply", "--yes")
    assert ended.code == 0, ended
    assert "Traceback" not in ended.err
    for name in ("corrupt.pdf", "encrypted.pdf", "unreadable.pdf"):
        lines = [line for line in (ended.out + ended.err).splitlines() if name in line]
        assert len(lines) == 1, (name, ended)
    hits = here.json("index", "search", "index/docs", "moon", "--mode", "fulltext")["items"]
    assert [each["document"] for each in hits] == ["good.md"]


def test_reindexing_touches_only_what_changed(here: Shell, server: Server) -> None:
    documents = here.folder / "documents"
    documents.mkdir()
    for name in ("a", "b", "c"):
        (documents / f"{name}.md").write_text(f"# {name}\n\nWords about {name * 3}.\n")
    here.write(
        index=INDEX.replace("docs", "some").replace("fulltext", "hybrid") + "embed: embedder/words\n",
        words="kind: embedder\nname: words\nprovider: test\n",
    )
    first = server.get(f"/jobs/{here.json('apply')['jobs'][0]}")
    assert (first["status"], first["result"]["documents"], first["result"]["embedded"]) == ("done", 3, 3)
    (documents / "a.md").write_text("# a\n\nOther words.\n")
    (documents / "b.md").unlink()
    second = server.get(f"/jobs/{here.json('apply')['jobs'][0]}")["result"]
    assert (second["documents"], second["embedded"], second["reused"]) == (2, 1, 1)
    found = here.json("index", "search", "index/some", "words about bbb")["items"]
    assert "b.md" not in {each["document"] for each in found}
