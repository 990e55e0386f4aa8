"""Edits of YAML that people wrote: what is wanted is said, and what is not touched stays to the character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.documents import load_documents, node_value
from tidemill.core.yaml_edit import edit_document, same
from tidemill.core.yaml_nodes import compose
from tidemill.core.yaml_text import dump_document, dump_value

TEXT = """\
# ours
kind: prompt   # what
name: answer
text: |   # asked
  Answer from the context.

  Be short.
# of the model
params: &params
  temperature: 0.2   # cool
  stop: [a, 'b']
steps:
  # first
  - {id: find, k: 6}
  - id: answer
    with: {q: "{{q}}"}   # in
again: *params
# end
---
kind: model
name: other
"""
KEYS = st.text("abcxyz_", min_size=1, max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | (
    st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("\n #:-{}[],&*!|>'\"%@`"), max_size=20)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
BODIES = st.dictionaries(KEYS, VALUES, max_size=5)


def said(text: str, index: int = 0):
    return node_value(compose(text)[index])


@given(BODIES)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_again(body):
    text = dump_document("prompt", "it", body)
    assert same(said(text), {"kind": "prompt", "name": "it", **body})


@given(BODIES, BODIES)
@settings(max_examples=25, deadline=None)
def test_any_document_can_be_made_to_say_anything(before, after):
    text = dump_document("prompt", "it", before)
    wanted = {"kind": "prompt", "name": "it", **after}
    assert same(said(edit_document(text, 0, wanted)), wanted)


@given(
    st.sampled_from(["temperature", "new"]),
    st.none() | st.booleans() | st.integers(-9999, 9999) | st.text("abc #:-{}[]&*!", max_size=12),
)
@settings(max_examples=25, deadline=None)
def test_what_is_not_touched_stays_to_the_character(key, value):
    wanted = dict(said(TEXT))
    wanted["params"] = {**wanted["params"], key: value}
    edited = edit_document(TEXT, 0, wanted)
    assert same(said(edited), wanted)
    assert same(said(edited, 1), said(TEXT, 1))
    assert [
        each
        for each in ("# ours", "# what", "# asked", "# of the model", "# cool", "# first", "# in", "# end")
        if each not in edited
    ] == []


def test_a_block_stays_a_block_and_quotes_stay():
    wanted = dict(said(TEXT))
    wanted["text"] = "Answer.\nBe brief.\n"
    wanted["params"] = {"temperature": 0.2, "stop": ["a", "c"]}
    wanted["again"] = wanted["params"]
    edited = edit_document(TEXT, 0, wanted)
    assert "text: |   # asked\n  Answer.\n  Be brief.\n# of the model" in edited
    assert "stop: [a, 'c']" in edited
    assert "again: *params" in edited


def test_an_alias_of_what_changes_says_what_it_said():
    wanted = dict(said(TEXT))
    wanted["params"] = {"temperature": 1, "stop": ["a", "b"]}
    edited = edit_document(TEXT, 0, wanted)
    assert same(said(edited), wanted)
    assert "again: {temperature: 0.2" in edited


def test_windows_lines_and_a_mark_at_the_start_stay():
    text = "\ufeffkind: prompt\r\nname: it\r\ntext: one  # 1\r\nmore: two\r\n"
    edited = edit_document(text, 0, {"kind": "prompt", "name": "it", "text": "three", "more": "two"})
    assert edited == text.replace("one", "three")


def test_new_lines_end_as_those_of_the_file():
    text = "kind: prompt\r\nname: it\r\ntext: |  # 1\r\n  one\r\nmore: two\r\n"
    edited = edit_document(text, 0, {"kind": "prompt", "name": "it", "text": "three\nfour\n", "more": "two", "new": "a\nb"})
    assert edited == text.replace("  one\r\n", "  three\r\n  four\r\n") + "new: |-\r\n  a\r\n  b\r\n"
    mixed = text.replace("name: it\r\n", "name: it\n")
    body = {"kind": "prompt", "name": "it", "text": "one\n", "more": "three"}
    assert edit_document(mixed, 0, body) == mixed.replace("two", "three")


@pytest.mark.parametrize(
    "text", ["no", "yes", "1e5", "null", "~", "a: b", "# x", "- x", "", " x", "it's", 'say "x"', "{{x}}", "*x", "a\nb"]
)
def test_texts_that_look_like_something_else_stay_texts(text: str) -> None:
    edited = edit_document("kind: prompt\nname: it\ntext: x\n", 0, {"kind": "prompt", "name": "it", "text": text})
    assert load_documents(edited, path="x.yaml")[0].body == {"text": text}
    assert said(dump_value({"text": text})) == {"text": text}
