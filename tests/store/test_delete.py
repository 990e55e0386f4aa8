"""Deleting softly: out of sight at once, refused while needed, restored whole, purged after its time."""

from __future__ import annotations

import functools

import pytest

from store.project import HANDBOOK, apply
from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.store import aliases, endpoints
from tidemill.store.audit import list_entries
from tidemill.store.delete import delete_versions, restore_versions
from tidemill.store.deleted import list_deleted
from tidemill.store.registry import find_by_digest, get_version, list_artifacts, list_versions
from tidemill.store.release import make_release
from tidemill.testing import LetAll


def allow(_db, _before, _after):
    pass


@pytest.fixture
def remove(database):
    return lambda ref, **more: database.write_sync(
        lambda db: delete_versions(db, "p", ref, by="ann", now_ns=10**18, may=allow, **more)
    )


@pytest.fixture
def restore(database):
    return lambda ref, **more: database.write_sync(
        lambda db: restore_versions(db, "p", ref, by="ann", now_ns=2 * 10**18, may=allow, **more)
    )


@pytest.fixture
def get(database):
    return lambda ref: database.read_sync(lambda db: get_version(db, "p", ref))


def prompt(text, name="alone"):
    return f"kind: prompt\nname: {name}\ntext: {text}\n"


def test_what_is_deleted_is_nowhere_and_says_so(database, blobs, remove, get):
    apply(database, blobs, prompt("a"))
    apply(database, blobs, prompt("b"))
    second = get("prompt/alone@v2")
    gone = remove("prompt/alone@v2", why="wrong tone")
    assert (gone.versions, gone.latest) == ((second,), get("prompt/alone@v1"))
    assert get("prompt/alone").number == 1
    assert database.read_sync(lambda db: find_by_digest(db, "p", second.digest)) is None
    assert [each.number for each in database.read_sync(lambda db: list_versions(db, "p", "prompt/alone")).items] == [1]
    for ref in ("prompt/alone@v2", f"prompt/alone@{second.digest}"):
        with pytest.raises(NotFound, match=r"was deleted at 2001-09-09 01:46 UTC by ann: wrong tone") as caught:
            get(ref)
        assert caught.value.hint == "Restore it: tidemill restore prompt/alone@v2"
    assert [each.version.ref for each in database.read_sync(lambda db: list_deleted(db, "p")).items] == ["prompt/alone@v2"]
    told = database.read_sync(lambda db: list_entries(db, "p", action="delete")).items[0]
    assert (told.who, told.target, told.detail["why"]) == ("ann", "prompt/alone@v2", "wrong tone")


def test_a_whole_artifact_goes_and_comes_back_as_it_was(database, blobs, remove, restore, get):
    for text in ("a", "b", "c", "a"):  # the oldest is the latest again
        apply(database, blobs, prompt(text))
    assert get("prompt/alone").number == 1
    remove("prompt/alone")
    assert database.read_sync(functools.partial(list_artifacts, project="p")).items == ()
    with pytest.raises(NotFound, match="was deleted"):
        get("prompt/alone")
    back = restore("prompt/alone")
    assert [each.number for each in back.versions] == [3, 2, 1]
    assert (get("prompt/alone").number, get("prompt/alone@v3").spec["text"]) == (1, "c")
    with pytest.raises(NotFound, match="no deleted version is called prompt/alone"):
        restore("prompt/alone")


def test_the_same_content_applied_again_restores_it_under_its_number(database, blobs, remove, get):
    apply(database, blobs, prompt("a"))
    apply(database, blobs, prompt("b"))
    old = get("prompt/alone@v1")
    remove("prompt/alone")
    (change,) = apply(database, blobs, prompt("a")).plan.changes
    assert (change.action, change.after) == ("create", "v1")
    assert get("prompt/alone") == old
    apply(database, blobs, prompt("c"))
    assert get("prompt/alone").number == 3  # a number is never given twice
    assert [each.version.number for each in database.read_sync(lambda db: list_deleted(db, "p")).items] == [2]


def test_restoring_leaves_a_newer_latest_where_it_is(database, blobs, remove, restore, get):
    for text in ("a", "b"):
        apply(database, blobs, prompt(text))
    remove("prompt/alone@v2")
    apply(database, blobs, prompt("c"))
    assert restore("prompt/alone@v2").latest.number == 3
    remove("prompt/alone@v3")
    assert get("prompt/alone").number == 2
    assert restore("prompt/alone@v3").latest.number == 3


def test_nothing_goes_while_anything_depends_on_it(database, blobs, remove, get):
    apply(database, blobs, HANDBOOK)
    with pytest.raises(Conflict, match=r"prompt/answer cannot be deleted: chain/handbook@v1 refers to it") as caught:
        remove("prompt/answer")
    assert caught.value.hint == "Delete that first: tidemill delete chain/handbook@v1"
    made = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1))
    with pytest.raises(Conflict, match="refers to it and 1 more") as caught:
        remove("prompt/answer@v1")
    assert [each.message for each in caught.value.problems] == [
        "chain/handbook@v1 refers to it",
        "release/handbook@v1 locks it",
    ]
    asked = {"policies": LetAll(), "by": "ann", "now_ns": 1}
    database.write_sync(lambda db: endpoints.deploy(db, "p", "support", release=made.digest, root="chain/handbook@v1", **asked))
    with pytest.raises(Conflict, match="endpoint/support serves it"):
        remove("release/handbook")
    apply(database, blobs, HANDBOOK.replace("only", "alone"))
    newer = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1))
    database.write_sync(
        lambda db: endpoints.deploy(db, "p", "support", release=newer.digest, root="chain/handbook@v2", **asked)
    )
    with pytest.raises(Conflict, match="endpoint/support would roll back to it"):
        remove(f"release/handbook@{made.digest}")
    database.write_sync(lambda db: aliases.set_alias(db, "p", "model/local", "live", **asked))
    with pytest.raises(Conflict) as caught:
        remove("model/local")
    assert "tidemill alias remove model/local live" in [each.hint.partition(": ")[2] for each in caught.value.problems]
    assert get("prompt/answer").number == 2


def test_a_file_that_refers_to_what_is_deleted_is_told_so(database, blobs, remove):
    apply(database, blobs, prompt("a"))
    remove("prompt/alone")
    for ref in ("prompt/alone", "prompt/alone@v1"):
        with pytest.raises(Invalid, match=r"prompt/alone(@v1)? was deleted at .* by ann") as caught:
            apply(database, blobs, f"kind: chain\nname: c\nuses: [{ref}]\n")
        assert caught.value.hint == f"Restore it: tidemill restore {ref}"
        assert caught.value.where == "tidemill/handbook.yaml:3"
