from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.difference import Difference, field_changes, spec_difference
from tidemill.core.json import dump_json
from tidemill.core.words import changed_words


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("Answer only.", "Answer briefly.", "Answer [-only-]{+briefly+}."),
        ("Answer only.", 'Answer only; say "no" when it is not there.', 'Answer only{+; say "no" when it is not there+}.'),
        ("one two three", "eins zwei drei", "[-one two three-]{+eins zwei drei+}"),
        ("a\nb\nc", "a\nB\nc", "[-b-]{+B+}"),
        ("a\nb\nc\nd\ne", "a\nB\nc\nD\ne", "[-b-]{+B+}\n…\n[-d-]{+D+}"),
        ("", "new", "{+new+}"),
        ("gone", "", "[-gone-]"),
        ("same", "same", "same"),
    ],
)
def test_words(old, new, shown):
    assert changed_words(old, new) == shown


def test_a_long_line_is_shortened_around_the_change():
    text = " ".join(f"word{each}" for each in range(200))
    shown = changed_words(text, text.replace("word100", "other"))
    assert "[-word100-]{+other+}" in shown
    assert len(shown) < 130
    assert shown.startswith("…")


def test_a_large_text_costs_what_changed_in_it_and_a_replaced_one_is_cut():
    long = "\n".join(f"line {each} with a few words in it" for each in range(20_000))
    begun = time.perf_counter()
    assert "{+other+}" in changed_words(long, long.replace("line 77 with", "other 77 with"))
    other = " ".join(str(each) for each in range(50_000))
    assert len(changed_words(long, other)) < 2000
    assert time.perf_counter() - begun < 5


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_can_be_told_apart(old, new):
    shown = changed_words(old, new)
    if old.split() != new.split():
        assert "[-" in shown or "{+" in shown


def test_values_by_place():
    old = {"a": [1, 2], "b": {"c": "x"}, "gone": True, "same": [{"id": "s"}]}
    new = {"a": [1, 3], "b": {"c": "x"}, "new": None, "same": [{"id": "s"}]}
    assert list(spec_difference(old, new).lines) == ["a: [-2-] {+3+}", "- gone true", "+ new none"]


def test_members_are_known_by_their_id_so_that_one_more_in_front_is_one_more():
    old = {"steps": [{"id": "a", "k": 1}, {"id": "b", "k": 2}]}
    new = {"steps": [{"id": "new"}, {"id": "a", "k": 1}, {"id": "b", "k": 3}]}
    assert [(each.path, each.effect) for each in field_changes(old, new)] == [
        ("steps.b.k", "change"), ("steps.new", "add")
    ]  # fmt: skip
    moved = field_changes({"steps": [{"id": "a"}, {"id": "b"}]}, {"steps": [{"id": "b"}, {"id": "a"}]})
    assert [(each.path, each.before, each.after) for each in moved] == [("steps.order", ["a", "b"], ["b", "a"])]


def test_members_without_an_id_are_found_by_what_they_are():
    old = {"examples": [{"input": "a"}, {"input": "b"}]}
    new = {"examples": [{"input": "new"}, {"input": "a"}, {"input": "b"}]}
    assert [(each.path, each.effect) for each in field_changes(old, new)] == [("examples.0", "add")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a", "b"]), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("abc"), VALUES))
def test_a_difference_is_empty_only_between_equals(old, new):
    assert not spec_difference(old, old)
    found = spec_difference(old, new)
    assert bool(found) == (dump_json(old) != dump_json(new)) or old == new
    dump_json(found.as_json())


def test_what_is_told_is_bounded():
    old = {str(each): each for each in range(1000)}
    found = spec_difference(old, dict.fromkeys(old, 0) | {"long": "x" * 10_000})
    assert len(found.bounded_lines()) == 200
    assert found.bounded_lines()[-1] == "… and 801 more"
    assert len(found.as_json()["fields"]) == 200
    assert found.as_json()["more_fields"] == 800
    assert max(len(str(each.as_json()["after"])) for each in found.fields) == 2000
    assert Difference().bounded_lines() == ()
