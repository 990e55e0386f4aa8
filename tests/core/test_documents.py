from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.documents import load_documents
from tidemill.core.errors import Invalid

TWO = """\
# the handbook
kind: chain
name: handbook
description: Answers
tags: {team: search, stable: true}
owner: ann
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/handbook, k: 6}}
  - id: answer
    prompt: prompt/answer
    with:
      question: "{{question}}"
output: "{{answer.text}}"
---
kind: prompt
name: answer
text: |
  Answer.
"""


def only(text, path="t.yaml"):
    (document,) = load_documents(text, path=path)
    return document


def refused(text):
    with pytest.raises(Invalid) as caught:
        load_documents(text, path="t.yaml")
    return caught.value


def test_documents_with_their_lines():
    chain, prompt = load_documents(TWO, path="tidemill/handbook.yaml")
    assert (chain.bare, chain.description, chain.tags, chain.owner) == (
        "chain/handbook",
        "Answers",
        {"team": "search", "stable": "true"},
        "ann",
    )
    assert set(chain.body) == {"inputs", "steps", "output"}
    assert chain.body["steps"][0]["retrieve"]["k"] == 6
    assert chain.line_of("steps.1.prompt") == 11
    assert chain.line_of("steps.1.with.question") == 13
    assert chain.line_of("steps.0.retrieve.index") == 9
    assert chain.line_of("steps.1.nothing.there") == 10
    assert chain.where("name") == "tidemill/handbook.yaml:3"
    assert (prompt.body, prompt.line_of("text")) == ({"text": "Answer.\n"}, 18)


def test_only_json_types_are_made():
    body = only(
        "kind: a\nname: b\nv: [1, -2, 0x1F, 0o17, 010, 1_000, 1.5, 1e3, true, False, ~, yes, on, 2026-01-31, '5', !!str 6]\n"
    ).body
    values = [1, -2, 31, 15, 10, 1000, 1.5, 1000.0, True, False, None, "yes", "on", "2026-01-31", "5", "6"]
    assert body["v"] == values
    assert [type(each) for each in body["v"]] == [type(each) for each in values]


def test_anchors_and_merges_are_allowed_in_measure():
    body = only("kind: a\nname: b\nbase: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n").body
    assert body["one"] == {"x": 1, "y": 3}
    assert body["two"] == {"x": 1, "y": 2}


def test_a_byte_order_mark_and_empty_documents_are_fine():
    assert only(b"\xef\xbb\xbfkind: a\nname: b\n---\n").bare == "a/b"
    assert load_documents("", path="t.yaml") == []
    assert load_documents("# nothing\n", path="t.yaml") == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: a\nname: b\nx: !!python/object/apply:os.system [ls]\n", 3, "the tag !!python/object/apply:os.system is not"),
        ("kind: a\nname: b\nx: !!python/name:os.system ''\n", 3, "is not allowed"),
        ("kind: a\nname: b\nx: !mine {a: 1}\n", 3, "the tag !mine is not allowed"),
        ("kind: a\nname: b\nx: !!binary aGk=\n", 3, "the tag !!binary is not allowed"),
        ("kind: a\nname: b\nx: !!set {a, b}\n", 3, "the tag !!set is not allowed"),
        ("kind: a\nname: b\nx: 1\ny: 2\nx: 3\n", 5, "'x' stands here twice; the first is on line 3"),
        ("kind: a\nname: b\n1: x\n", 3, "the key '1' is not text"),
        ("kind: a\nname: b\n? [x]\n: 1\n", 3, "is not text"),
        ("kind: a\nname: b\nx: .nan\n", 3, "is not a number that can be kept"),
        ("kind: a\nname: b\nx: &x [1, *x]\n", 3, "inside what it refers to"),
        ("kind: a\nname: b\nx: [1, 2\ny: 3\n", 4, "not valid YAML"),
        ("kind: a\nname: b\nx: *gone\n", 3, "not valid YAML"),
        ("kind: a\nname: b\n\tx: 1\n", 3, "not valid YAML"),
        ("kind: a\nname: b\nx: 'a\x00b'\n", 3, "control character"),
        ("- kind: a\n", 1, "a document is a mapping"),
        ("name: b\n", 1, "a document needs kind"),
        ("kind: a\n", 1, "a document needs name"),
        ("kind: a\nname: Über\n", 2, "name 'Über' is not allowed"),
        ("kind: a\nname: 5\n", 2, "name 5 is not text"),
        ("kind: a\nname: b\ntags: 3\n", 3, "tags are"),
        ("kind: a\nname: b\nenvironment: [x]\n", 3, "environment ['x'] is not text"),
        (b"kind: a\nname: b\nx: caf\xe9\n", 3, "byte 0xe9 is not UTF-8"),
        ("kind: a\nname: b\n".encode("utf-16"), 1, "is not UTF-8"),
    ],
)
def test_bad_input_gets_its_line(text, line, message):
    error = refused(text)
    assert error.where == f"t.yaml:{line}"
    assert message in error.message


def test_a_document_that_expands_without_end_is_refused():
    levels = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    error = refused("kind: a\nname: b\n" + "\n".join(levels))
    assert "expands to more than 200,000 values" in error.message


def test_merges_count_as_they_expand():
    levels = ["a0: &a0 {x0: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)]
    assert "expands" in refused("kind: a\nname: b\n" + "\n".join(levels)).message


def test_deep_nesting_and_large_files_are_refused():
    assert "nested" in refused("kind: a\nname: b\nx: " + "[" * 100 + "]" * 100).message
    assert "nested" in refused("kind: a\nname: b\nx: " + "[" * 1200 + "]" * 1200).message
    assert "4 MiB" in refused("#" * (4 * 1024 * 1024 + 1)).message


def test_all_mistakes_of_a_file_are_told():
    error = refused("kind: a\n---\nname: b\nowner: [x]\n---\nkind: a\nname: fine\n")
    assert [each.where for each in error.problems] == ["t.yaml:1", "t.yaml:3", "t.yaml:4"]


@given(st.text())
def test_any_text_is_read_or_refused_with_a_place(text):
    places = []
    try:
        load_documents(text, path="t.yaml")
    except Invalid as error:
        places = [each.where for each in error.problems] or [""]
    assert all(each.startswith("t.yaml:") for each in places)
