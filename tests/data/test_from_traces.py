"""Samples out of traces: what becomes the reference, what is joined, what is left out and why."""

from __future__ import annotations

import random

import pytest

from tidemill.core.errors import Conflict, Invalid
from tidemill.core.records import Version
from tidemill.core.rows import row_digest
from tidemill.data.append import append_rows
from tidemill.data.from_traces import Gathering, Shape
from tidemill.data.specs import RolesSpec
from tidemill.store.feedback import Feedback


def trace(id, asked, output="an answer", **more):  # noqa: A002
    return {"id": id, "input": asked, "output": output, "status": "ok", "release": "sha256:r", **more}


def said(id, kind, value=None, *, at=1, span=None):  # noqa: A002
    return Feedback(project="p", id=id, trace_id="t", span_id=span, kind=kind, value=value, created_ns=at)


def gather(*found, **options):
    gathering = Gathering(**options)
    for each, opinions in found:
        gathering.add(each, opinions)
    return gathering


def row_of(*found, **options):
    (row,) = gather(*found, **options).rows()
    return row


def dataset(rows, roles, *, number=1):
    """A version with these rows, and the rows as lines."""
    made = append_rows(None, b"", rows, roles=roles)
    return Version(project="p", kind="dataset", name="d", number=number, digest="d", spec=made.spec), made.lines


def test_a_correction_is_the_reference_and_the_links_are_kept():
    row = row_of(
        (trace("t1", {"question": "when?"}), [said("f1", "thumbs", "down"), said("f2", "correction", "at noon", at=2)])
    )
    assert row == {
        "id": "t1", "input": "when?", "reference": "at noon", "trace": "t1", "release": "sha256:r", "traces": ["t1"],
        "feedback": ["f2", "f1"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("opinions", "reference"),
    [
        ([], None),
        ([said("f", "thumbs", "up")], "an answer"),
        ([said("f", "thumbs", "down")], None),
        ([said("f", "thumbs", "up", at=1), said("g", "thumbs", "down", at=2)], None),  # the newest counts
        ([said("f", "thumbs", "up", at=2), said("g", "correction", "better", at=1)], "better"),
        ([said("f", "correction", "old", at=1), said("g", "correction", "new", at=2)], "new"),
        ([said("f", "correction", "of a step", span="s" * 16)], None),  # not of what the caller got
        ([said("f", "score", 0.1), said("g", "comment", "hm"), said("h", "event")], None),
    ],
)
def test_what_becomes_the_reference(opinions, reference):
    assert row_of((trace("t", "when?"), opinions))["reference"] == reference


def test_an_answer_that_failed_is_no_reference_but_its_question_is_a_sample():
    row = row_of((trace("t", "when?", output="half an", status="error"), [said("f", "thumbs", "up")]))
    assert (row["input"], row["reference"]) == ("when?", None)


def test_who_asked_the_same_is_joined_and_the_best_reference_wins():
    gathering = gather(
        (trace("t4", "when?"), []),
        (trace("t3", " when? \n"), [said("f3", "thumbs", "up", at=9)]),
        (trace("t2", {"question": "when?"}), [said("f2", "correction", "at noon", at=2)]),
        (trace("t1", "when?"), [said("f1", "correction", "at dawn", at=1)]),
    )
    (row,) = gathering.rows()
    assert (row["reference"], row["trace"], gathering.joined) == ("at noon", "t2", 3)
    assert (row["traces"], row["feedback"]) == (["t4", "t3", "t2", "t1"], ["f3", "f2", "f1"])


def test_a_pair_is_a_correction_under_a_thumbs_down():
    down, fix = said("f1", "thumbs", "down"), said("f2", "correction", "at noon", at=2)
    gathering = gather(
        (trace("t1", {"question": "when?"}, "at tea"), [down, fix]),
        (trace("t2", "who?"), [fix]),
        (trace("t3", "why?"), [said("f", "thumbs", "up"), fix]),
        (trace("t4", "what?"), [down]),
        (trace("t5", "where?", "at noon"), [down, fix]),
        (trace("t6", "whose?", "", status="error"), [down, fix]),
        (trace("t7", {"a": "x", "b": "y"}), [down, fix]),
        pairs=True,
    )
    (row,) = gathering.rows()
    assert [row[name] for name in ("prompt", "chosen", "rejected", "trace")] == ["when?", "at noon", "at tea", "t1"]
    assert gathering.skipped == {
        "no thumbs down with a correction": 3, "the correction is what was answered": 1, "no output to reject": 1,
        "the input is not one text": 1,
    }  # fmt: skip
    assert gathering.roles() == RolesSpec(input="prompt", reference="chosen", id="id")


def test_inputs_of_every_form():
    user = {"role": "user", "content": "when?"}
    asked = [
        "plain",
        [{"role": "system", "content": "Be brief."}, {**user, "content": "of a message"}],
        [user, {"role": "assistant", "content": "now"}, user],
        [{"role": "user", "content": [{"type": "image"}]}],
        None,
        "",
        {},
        {"question": ""},
        {"depth": 3},
        {"question": "two", "depth": 3},
    ]
    gathering = gather(*((trace(f"t{number}", each), []) for number, each in enumerate(asked)))
    assert [each["input"] for each in gathering.rows()] == ["plain", "of a message", 3]
    assert gathering.skipped == {
        "a conversation of several turns": 1, "the message is not text": 1, "no input was recorded": 3,
        "the input does not have input": 2,
    }  # fmt: skip


def test_several_inputs_are_several_columns():
    gathering = gather(
        (trace("t1", {"question": "when?", "language": "en"}), []),
        (trace("t2", {"question": "wann?", "language": "de", "more": 1}), []),
        (trace("t3", "when?"), []),
    )
    assert [(each["question"], each["language"]) for each in gathering.rows()] == [("when?", "en"), ("wann?", "de")]
    assert gathering.roles().input == ["question", "language"]
    assert gathering.skipped == {"the input does not have question, language": 1}


def test_only_what_is_labelled():
    gathering = gather((trace("t1", "a"), []), (trace("t2", "b"), [said("f", "thumbs", "up")]), labelled=True)
    assert [each["input"] for each in gathering.rows()] == ["b"]
    assert gathering.skipped.total() == 1


def test_a_dataset_that_is_there_keeps_its_columns_rows_and_ids():
    version, lines = dataset(
        [{"key": "q1", "question": "when?", "answer": "noon"}], RolesSpec(id="key", input="question", reference="answer")
    )
    shape = Shape.of(version.spec["roles"])
    found = [(trace("t1", {"question": "when?"}), []), (trace("t2", {"question": "who?", "depth": 1}), [])]
    gathering = gather(*found, shape=shape)
    made = append_rows(version, lines, gathering.rows(), roles=gathering.roles(), by_input=True)
    assert (made.added, made.known, made.filled) == (1, 1, 0)
    assert made.lines.startswith(lines)
    assert made.spec["rows_count"] == 2
    assert made.spec["roles"] == {"id": "key", "input": "question", "reference": "answer"}


def test_a_reference_that_was_missing_is_filled_in_and_no_other_is_touched():
    first = gather((trace("t1", "a"), []), (trace("t2", "b"), [said("f", "correction", "B")]))
    version, lines = dataset(first.rows(), first.roles())
    later = gather(
        (trace("t3", "a"), [said("g", "correction", "A")]), (trace("t4", "b"), [said("h", "correction", "other")]),
        shape=Shape.of(version.spec["roles"]),
    )  # fmt: skip
    made = append_rows(version, lines, later.rows(), roles=later.roles(), by_input=True)
    assert (made.added, made.filled, made.known) == (0, 1, 1)
    assert made.is_changed
    again = append_rows(version, made.lines, later.rows(), roles=later.roles(), by_input=True)
    assert not again.is_changed


def test_appending_twice_is_appending_once():
    generator = random.Random(3)
    rows = [{"input": f"q{generator.randrange(9)}", "n": generator.randrange(3)} for _ in range(60)]
    roles = RolesSpec()
    version, lines = dataset(rows[:30], roles)
    made = append_rows(version, lines, rows[20:], roles=roles)
    assert made.added + made.known == 40
    assert made.spec["rows_count"] == len({row_digest(each) for each in rows})
    assert not append_rows(version, made.lines, rows, roles=roles).is_changed


def test_a_row_without_an_id_gets_one_of_its_content():
    version, lines = dataset([{"id": "a", "input": "x"}], RolesSpec())
    made = append_rows(version, lines, [{"input": "y"}, {"input": "y", "id": None}, {"input": "z"}], roles=RolesSpec())
    again = append_rows(version, made.lines, [{"input": "z"}, {"input": "y"}], roles=RolesSpec())
    assert (made.added, made.known, again.added, again.known) == (2, 1, 0, 2)


@pytest.mark.parametrize(
    ("rows", "roles", "error", "message"),
    [
        ([{"input": 3}], RolesSpec(), Invalid, "mixes types: text at dataset/d@v1 row 1, integer at new row 1"),
        ([{"id": "a", "input": "other"}], RolesSpec(), Invalid, "the id 'a' was already used at dataset/d@v1 row 1"),
        ([{"id": "b"}], RolesSpec(), Invalid, "the input 'input' is missing"),
        ([{"id": "b", "input": "y"}], RolesSpec(input="id"), Conflict, "has input as its input, not id"),
        ([{"id": "b", "input": "\ud800"}], RolesSpec(), Invalid, "surrogate"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, roles, error, message):
    version, lines = dataset([{"id": "a", "input": "x"}], RolesSpec())
    with pytest.raises(error, match=message):
        append_rows(version, lines, rows, roles=roles)


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ({"messages": [{"role": "system", "content": "short"}, {"role": "user", "content": "when?"}]}, "when?"),
        ({"messages": [{"role": "user", "content": "hello"}, {"role": "user", "content": "when?"}], "tools": []}, "when?"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]}]},
            "a\nb",
        ),
        ({"messages": "a form's field"}, "a form's field"),
    ],
)
def test_of_a_call_of_a_model_the_question_is_what_the_user_said_last(asked, question):
    answered = {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "at noon"}]}]}
    row = row_of((trace("t", asked, output=answered), [said("f", "thumbs", "up")]))
    assert (row["input"], row["reference"]) == (question, "at noon")


@pytest.mark.parametrize("content", [None, "", [{"type": "image", "url": "u"}], [{"type": "text", "text": 7}], {"a": 1}])
def test_a_call_without_a_text_of_the_user_is_left_out(content):
    gathering = gather((trace("t", {"messages": [{"role": "user", "content": content}]}), []))
    assert (len(gathering), gathering.skipped) == (0, {"no message of the user is text": 1})
