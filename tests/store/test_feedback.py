from __future__ import annotations

import pytest

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.store.feedback import Feedback, add_feedback, count_feedback, get_feedback, list_feedback, page_feedback

TRACE = "a" * 32
OTHER = "b" * 32


@pytest.fixture
def say(database):
    """Add feedback at the next moment; what is kept, and whether it is new."""
    moments = iter(range(1, 1000))

    def add(kind, value=None, *, trace=TRACE, id=None, project="p", **more):  # noqa: A002
        at = next(moments)
        wanted = Feedback(
            project=project, id=id or f"f{at}", trace_id=trace, kind=kind, value=value, created_ns=at,
            **{"span_id": None, "source": "admin", **more},
        )  # fmt: skip
        return database.write_sync(lambda db: add_feedback(db, wanted))

    return add


@pytest.fixture
def said(database):
    def read(**narrow):
        return [(each.kind, each.name, each.value) for each in database.read_sync(lambda db: list_feedback(db, "p", **narrow))]

    return read


def test_the_same_id_with_the_same_content_is_the_same_row(say, said, database):
    first, is_new = say("correction", "the moon", id="mine", user="ann")
    again, is_new_again = say("correction", "the moon", id="mine", user="ann")
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert said() == [("correction", "", "the moon")]
    assert database.read_sync(lambda db: count_feedback(db, "p", 0)) == 1


@pytest.mark.parametrize("change", [{"value": "down"}, {"trace": OTHER}, {"user": "bob"}, {"span_id": "c" * 16}])
def test_the_same_id_with_other_content_is_a_conflict_and_changes_nothing(say, said, change):
    say("thumbs", "up", id="mine", user="ann")
    with pytest.raises(Conflict, match="'mine' exists already, and says something else"):
        say("thumbs", **{"value": "up", "id": "mine", "user": "ann", **change})
    assert said() == [("thumbs", "", "up")]


def test_ids_of_projects_do_not_meet(say):
    assert say("thumbs", "up", id="mine")[1]
    assert say("thumbs", "down", id="mine", project="q")[1]


def test_a_person_has_one_opinion_and_the_one_before_is_kept(say, said, database):
    before, _ = say("thumbs", "down", user="ann")
    after, _ = say("thumbs", "up", user="ann")
    say("thumbs", "down", user="bob")
    say("thumbs", "down", user="ann", span_id="c" * 16)
    say("score", 0.2, name="helpful", user="ann")
    say("score", 0.9, name="helpful", user="ann")
    say("score", 0.5, name="polite", user="ann")
    assert said() == [
        ("score", "polite", 0.5),
        ("score", "helpful", 0.9),
        ("thumbs", "", "down"),
        ("thumbs", "", "down"),
        ("thumbs", "", "up"),
    ]
    assert database.read_sync(lambda db: get_feedback(db, "p", before.id)).replaced_by == after.id
    assert len(database.read_sync(lambda db: list_feedback(db, "p", replaced=True))) == 7


def test_what_arrives_late_does_not_bring_a_replaced_opinion_back(say, said):
    say("thumbs", "down", id="first", user="ann")
    say("thumbs", "up", id="second", user="ann")
    kept, is_new = say("thumbs", "down", id="first", user="ann")  # a client that tries again
    assert (kept.replaced_by, is_new) == ("second", False)
    assert said() == [("thumbs", "", "up")]


def test_comments_and_events_add_up(say, said):
    for text in ("too long", "too dry", "too long"):
        say("comment", text, user="ann")
    for _ in range(3):
        say("event", None, name="copied", user="ann")
    assert said() == [*[("event", "copied", None)] * 3, ("comment", "", "too dry"), ("comment", "", "too long")]


@pytest.mark.parametrize("value", [7, 0.5, "7", '"quoted"', True, None, {"a": [1, None]}, [], "naïve 🌊\u2028"])
def test_a_value_comes_back_as_it_was(say, said, value):
    say("event", value, name="seen")
    assert said() == [("event", "seen", value)]


def test_lists_are_narrowed_and_paged(say, said, database):
    for number in range(7):
        say("score", number, name="n", user=f"u{number}", trace=TRACE if number % 2 else OTHER)
    assert [value for *_, value in said(trace_ids=[TRACE])] == [5, 3, 1]
    assert [value for *_, value in said(since_ns=6)] == [6, 5]
    assert [value for *_, value in said(kinds=["thumbs"])] == []
    assert [value for *_, value in said(user="u3")] == [3]
    assert [value for *_, value in said(trace_ids=[TRACE, OTHER], limit=2)] == [6, 5]
    assert database.read_sync(lambda db: count_feedback(db, "p", 6)) == 2
    found, cursor = [], None
    while True:
        page = database.read_sync(lambda db, cursor=cursor: page_feedback(db, "p", limit=3, cursor=cursor))
        found += [each.value for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == [6, 5, 4, 3, 2, 1, 0]
    with pytest.raises(Invalid, match="cursor"):
        database.read_sync(lambda db: page_feedback(db, "p", cursor="x"))
    with pytest.raises(NotFound, match="there is no feedback 'x'"):
        database.read_sync(lambda db: get_feedback(db, "p", "x"))
