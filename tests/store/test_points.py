"""What references led to, what moved, and the past of an artifact, on either database."""

from __future__ import annotations

import pytest

from store.project import HANDBOOK, KINDS, apply, plan
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.refs import parse_ref
from tidemill.store.aliases import set_alias
from tidemill.store.delete import delete_versions
from tidemill.store.diff import Parts, diff_points, moved_between
from tidemill.store.downstream import downstream
from tidemill.store.endpoints import deploy, rollback
from tidemill.store.history import descent, list_history
from tidemill.store.points import point_of
from tidemill.store.release import make_release
from tidemill.testing.policies import LetAll

HERE = {"environment": "local"}


@pytest.fixture
def moved(database, blobs):
    """At 1 applied and served, at 2 another prompt, at 3 served, at 4 rolled back, at 5 an alias."""
    apply(database, blobs, HANDBOOK, now_ns=1)
    first = serve(database, 1)
    apply(database, blobs, HANDBOOK.replace("context only", "context"), now_ns=2)
    second = serve(database, 3)
    by = {"policies": LetAll(), "by": "ann"}
    database.write_sync(lambda db: rollback(db, "p", "handbook", now_ns=4, **by))
    database.write_sync(lambda db: set_alias(db, "p", "chain/handbook@v1", "production", now_ns=5, why="better", **by))
    return first, second


def serve(database, now_ns):
    made = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=now_ns))
    at = {"release": made.digest, "root": made.root.ref, "policies": LetAll(), "by": "ann", "now_ns": now_ns}
    database.write_sync(lambda db: deploy(db, "p", "handbook", **at))
    return made.digest


def then(database, ref, at_ns):
    return database.read_sync(lambda db: point_of(db, "p", ref, at_ns=at_ns, **HERE)).name


def test_what_it_led_to_at_a_time(database, moved):
    first, second = moved
    assert [then(database, "endpoint/handbook", each) for each in (1, 2, 3, 4, None)] == [first, first, second, first, first]
    assert [then(database, "prompt/answer", each) for each in (1, 2, None)] == [
        "prompt/answer@v1", "prompt/answer@v2", "prompt/answer@v2"
    ]  # fmt: skip
    assert then(database, "chain/handbook@production", 5) == "chain/handbook@v1"
    for ref, at_ns in (("endpoint/handbook", 0), ("prompt/answer", 0), ("chain/handbook@production", 4)):
        with pytest.raises(NotFound, match="then"):
            then(database, ref, at_ns)
    with pytest.raises(Invalid, match="same at any time"):
        then(database, "prompt/answer@v1", 1)


def test_all_that_moved_and_what_moved_back_is_left_out(database, blobs, moved):
    parts = Parts(kinds=KINDS, blobs=blobs)

    def between(since, until):
        found = database.read_sync(lambda db: moved_between(db, "p", since, until, parts=parts, **HERE))
        return {each.ref: (each.before, each.after) for each in found}

    assert between(1, 2) == {"prompt/answer": ("v1", "v2"), "chain/handbook": ("v1", "v2")}
    assert "endpoint/handbook" in between(1, 3)
    assert "endpoint/handbook" not in between(1, 4)
    assert between(4, 5) == {"chain/handbook@production": (None, "v1")}
    assert between(5, 9) == {}


def test_applications_differ_by_component(database, blobs, moved):
    first, second = moved
    parts = Parts(kinds=KINDS, blobs=blobs)

    def work(db):
        a, b = (point_of(db, "p", each, **HERE) for each in (first, second))
        return diff_points(db, "p", a, b, parts=parts)

    found = {each.ref: list(each.as_json()["details"]) for each in database.read_sync(work)}
    assert found == {
        "chain/handbook": ["prompt/answer v1 -> v2"],
        "prompt/answer": ["Answer from the context only. -> Answer from the context."],
    }


def test_the_past_of_an_artifact(database, blobs, moved):
    ref = parse_ref("chain/handbook")
    page = database.read_sync(lambda db: list_history(db, "p", ref, kinds=KINDS, blobs=blobs, limit=1))
    (second,) = page.items
    assert (second.version.number, second.parent, second.by, second.aliases) == (2, 1, "ann", ("latest",))
    assert second.difference.lines == ("prompt/answer v1 -> v2",)
    rest = database.read_sync(lambda db: list_history(db, "p", ref, kinds=KINDS, blobs=blobs, cursor=page.next))
    (first,) = rest.items
    assert (first.aliases, first.served) == (("production",), ("endpoint/handbook",))
    assert [(each.alias, each.why) for each in first.moves] == [("production", "better"), ("latest", "apply")]


def test_a_deleted_version_is_stepped_over(database, blobs):
    for number, words in enumerate(("one", "two", "three"), 1):
        apply(database, blobs, f"kind: prompt\nname: answer\ntext: {words}\n", now_ns=number)
    database.write_sync(
        lambda db: delete_versions(db, "p", "prompt/answer@v2", now_ns=9, by="ann", may=lambda *_args, **_more: None)
    )
    ref = parse_ref("prompt/answer")
    assert [each.number for each, _ in database.read_sync(lambda db: descent(db, "p", ref))] == [3, 1]
    page = database.read_sync(lambda db: list_history(db, "p", ref, kinds=KINDS, blobs=blobs))
    assert [(each.version.number, each.parent) for each in page.items] == [(3, 1), (1, None)]


def test_what_stays_on_old_content(database, blobs, moved):
    first, second = moved
    planned = plan(database, blobs, HANDBOOK.replace("context only", "passages"))
    left = database.read_sync(lambda db: downstream(db, "p", planned.changes))
    assert [each["digest"] for each in left.releases] == [second]
    assert left.endpoints == ()
    back = plan(database, blobs, HANDBOOK)
    assert [each["digest"] for each in database.read_sync(lambda db: downstream(db, "p", back.changes)).releases] == [second]
    assert first != second
