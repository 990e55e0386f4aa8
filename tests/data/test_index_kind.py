import json

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.extend import ArtifactKind
from tidemill.data.kinds import DatasetKind, IndexKind

DOCS = {"docs/a.md": "# A\n\nText.", "docs/deep/b.rst": "B\n=\n\nText.", "other/c.md": "# C"}


def parse(memory_files, docs=DOCS, **body):
    files = memory_files(docs)
    return IndexKind().parse({"source": "docs", **body}, files=files), files


def manifest(parsed, files):
    return json.loads(files.get(parsed.blobs["documents"]))


def test_both_kinds_keep_the_protocol():
    assert isinstance(IndexKind(), ArtifactKind)
    assert isinstance(DatasetKind(), ArtifactKind)


def test_the_manifest_holds_every_document_by_digest_and_nothing_outside_the_folder(memory_files):
    parsed, files = parse(memory_files, embed="embedder/minilm")
    entries = manifest(parsed, files)
    assert [(each["id"], each["format"]) for each in entries] == [("a.md", "md"), ("deep/b.rst", "rst")]
    assert files.get(entries[0]["blob"]) == b"# A\n\nText."
    assert parsed.references == {"embed": "embedder/minilm"}
    assert parsed.spec == {
        "source": {"folder": "docs"},
        "chunk": {"strategy": "structure", "max_chars": 1200, "min_chars": 200, "overlap": 0},
        "embed": "embedder/minilm",
        "search": {"mode": "hybrid", "k": 6},
        "documents_count": 2,
    }


@pytest.mark.parametrize("source", ["docs", "docs/", "./docs", {"folder": "docs"}])
def test_the_same_folder_written_otherwise_has_the_same_documents(memory_files, source):
    assert parse(memory_files, source=source)[0].blobs == parse(memory_files)[0].blobs


def test_include_and_exclude(memory_files):
    parsed, files = parse(memory_files, source={"folder": ".", "include": ["*.md"], "exclude": ["other/*"]})
    assert [each["id"] for each in manifest(parsed, files)] == ["docs/a.md"]


def test_two_stars_also_stand_for_the_folder_itself(memory_files):
    docs = {"docs/a.md": "# A", "docs/deep/b.md": "# B", "docs/c.txt": "C"}
    parsed, files = parse(memory_files, docs, source={"folder": "docs", "include": ["**/*.md"]})
    assert [each["id"] for each in manifest(parsed, files)] == ["a.md", "deep/b.md"]


def test_other_formats_and_hidden_files_are_left_out_and_said(memory_files):
    docs = {**DOCS, "docs/logo.png": b"\x89PNG", "docs/Makefile": "all:", "docs/.git/x.md": "# X"}
    parsed, files = parse(memory_files, docs)
    assert len(manifest(parsed, files)) == 2
    assert [each.message for each in parsed.notes] == ["files of other formats in docs were left out: .png (1), no ending (1)"]


def test_the_order_of_files_and_a_second_parse_change_nothing(memory_files):
    assert parse(memory_files, dict(reversed(DOCS.items())))[0] == parse(memory_files)[0]


def test_unreadable_files_are_noted_and_the_rest_is_taken(memory_files):
    docs = {
        **DOCS,
        "docs/bad.md": b"caf\xe9",
        "docs/empty.txt": " \n",
        "docs/cut.pdf": b"%PDF-1.4 broken",
        "docs/zero.pdf": b"",
    }
    parsed, files = parse(memory_files, docs)
    assert [each["id"] for each in manifest(parsed, files)] == ["a.md", "deep/b.rst"]
    messages = " / ".join(each.message for each in parsed.notes)
    assert "bad.md:1: the byte 0xe9 is not UTF-8; it is not indexed" in messages
    assert "empty.txt is an empty file" in messages
    assert "cut.pdf is not a readable PDF" in messages
    assert "zero.pdf is an empty file" in messages


def test_nothing_readable_is_an_error_with_every_reason(memory_files):
    with pytest.raises(Invalid, match="none of the documents can be read") as caught:
        parse(memory_files, {"docs/a.pdf": b"x", "docs/b.md": b"\xff\xfa"})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({"source": "empty"}, "source", "the folder 'empty' is empty"),
        ({"source": "dosc"}, "source", "there is no folder 'dosc'"),
        ({"source": "../up"}, "source", "outside the project"),
        ({"source": "/etc"}, "source", "outside the project"),
        ({"source": {"folder": "other", "include": ["*.pdf"]}}, "source", "holds no file in a known format"),
        ({"source": {}}, "source", "either a folder or python"),
        ({"source": {"folder": "docs", "python": "a:b"}}, "source", "either a folder or python"),
        ({"source": {"python": "a:b", "format": "rts"}}, "source.format", "'rts' is not a known format"),
        ({"source": {"python": "no dots"}}, "source.python", "does not name a mapping"),
        ({"source": {"python": "tidemill_no_such:x"}}, "source.python", "cannot import 'tidemill_no_such'"),
        ({"source": {"python": "pydoc_data.topics:topic"}}, "source.python", "has no 'topic'"),
        ({"source": {"python": "sys:path"}}, "source.python", "is a list, not a mapping"),
        ({"source": {"python": "os:environb"}}, "source.python", "which is not text under a text key"),
        ({"source": "docs", "chunk": {"strategy": "struct"}}, "chunk.strategy", "unknown strategy 'struct'"),
        ({"source": "docs", "chunk": {"max_chars": "1200"}}, "chunk.max_chars", "'1200' is wrong here"),
        ({"source": "docs", "chunk": {"max_chars": 10}}, "chunk.max_chars", "10 is wrong here"),
        ({"source": "docs", "chunk": {"overlap": 900}}, "chunk.overlap", "more than half"),
        ({"source": "docs", "chunk": {"max_char": 900}}, "chunk.max_char", "unknown key 'max_char'"),
        ({"source": "docs", "search": {"mode": "vector"}}, "search.mode", "vector search needs an embedder"),
        ({"source": "docs", "embed": "model/x"}, "embed", "is a model"),
        ({"source": "docs", "embed": "minilm"}, "embed", "is not a reference"),
        ({"embed": "embedder/x"}, "source", "'source' is missing"),
        ({"source": "docs", "emebd": "embedder/x"}, "emebd", "unknown key 'emebd'"),
    ],
)
def test_a_wrong_document_names_the_place(memory_files, body, where, words):
    with pytest.raises(Invalid) as caught:
        IndexKind().parse(body, files=memory_files(DOCS))
    assert (caught.value.where, words in caught.value.message) == (where, True), caught.value.message


def test_hints_name_the_nearest(memory_files):
    with pytest.raises(Invalid) as caught:
        IndexKind().parse({"source": {"fodler": "docs"}}, files=memory_files(DOCS))
    assert (caught.value.where, caught.value.hint) == ("source.fodler", "Did you mean folder?")
    with pytest.raises(Invalid) as caught:
        IndexKind().parse({"source": {"python": "pydoc_data.topics:topic"}}, files=memory_files(DOCS))
    assert caught.value.hint == "Did you mean topics?"


def test_diff_says_what_changed(memory_files):
    old, _ = parse(memory_files)
    new, _ = parse(memory_files, {**DOCS, "docs/c.md": "# C"}, chunk={"max_chars": 800})
    assert list(IndexKind().diff(old.spec, new.spec)) == ["chunk.max_chars 1200 -> 800", "documents 2 -> 3"]


def test_the_reference_manual_of_python(memory_files):
    parsed, files = parse(memory_files, source={"python": "pydoc_data.topics:topics"})
    entries = manifest(parsed, files)
    assert len(entries) > 70
    assert {"with", "try", "for"} < {each["id"] for each in entries}
    assert {each["format"] for each in entries} == {"rst"}
