from __future__ import annotations

import functools

import pytest

from tidemill.core.errors import Conflict, Denied, Invalid, NotFound
from tidemill.store.aliases import list_alias_moves, list_aliases, set_alias
from tidemill.store.registry import add_version, find_by_digest, get_version, list_artifacts, list_versions
from tidemill.testing.policies import LetAll


@pytest.fixture
def add(database):
    def add(text, *, name="answer", kind="prompt", project="p", now_ns=1, **more):
        return database.write_sync(
            lambda db: add_version(
                db, project=project, kind=kind, name=name, parsed_spec={"text": text}, refs={}, blobs={}, now_ns=now_ns, **more
            )
        )

    return add


@pytest.fixture
def get(database):
    return lambda ref, project="p": database.read_sync(lambda db: get_version(db, project, ref))


def test_versions_count_up_and_same_content_is_the_same_version(add, get):
    first, created = add("a")
    assert (first.ref, created) == ("prompt/answer@v1", True)
    second, _ = add("b", description="Better", tags={"team": "search"}, owner="ann")
    assert second.number == 2
    again, created = add("a")
    assert (again.number, created) == (1, False)
    assert get("prompt/answer") == first
    assert get("prompt/answer@latest") == first
    assert get("prompt/answer@v2") == second
    assert get(f"prompt/answer@{second.digest}") == second
    third, _ = add("c")
    assert third.number == 3


def test_same_content_has_the_same_digest_under_any_name_and_in_any_project(add, database):
    first, _ = add("a", now_ns=1)
    other, _ = add("a", name="other", project="q", description="x", now_ns=2)
    assert first.digest == other.digest
    assert database.read_sync(lambda db: find_by_digest(db, "q", first.digest)) == other
    assert database.read_sync(lambda db: find_by_digest(db, "p", first.digest, name="nothing")) is None


def test_what_is_not_there_names_the_nearest(add, get):
    add("a")
    add("b")
    for ref, message, hint in [
        ("prompt/anwser", "there is no prompt/anwser in project 'p'", "Did you mean prompt/answer?"),
        ("chain/answer", "there is no chain/answer in project 'p'", "Did you mean prompt/answer?"),
        ("prompt/answer@v9", "prompt/answer has no version v9", "Versions go from v1 to v2."),
        ("prompt/answer@latset", "prompt/answer has no version latset", "Did you mean latest?"),
    ]:
        with pytest.raises(NotFound) as caught:
            get(ref)
        assert (caught.value.message, caught.value.hint) == (message, hint)
    with pytest.raises(NotFound):
        get("prompt/answer", project="q")
    with pytest.raises(Denied):
        get("p:prompt/answer", project="q")


def test_lists_go_on_where_they_stopped(add, database):
    for name in ("a", "b", "c_d", "cxd"):
        add("x", name=name)
    add("x", name="a", kind="model")
    pages = []
    cursor = None
    while True:
        page = database.read_sync(functools.partial(list_artifacts, project="p", limit=2, cursor=cursor))
        pages.append([each.bare for each in page.items])
        cursor = page.next
        if cursor is None:
            break
    assert pages == [["model/a", "prompt/a"], ["prompt/b", "prompt/c_d"], ["prompt/cxd"]]
    found = database.read_sync(lambda db: list_artifacts(db, "p", kind="prompt", q="C_D"))
    assert [each.bare for each in found.items] == ["prompt/c_d"]
    with pytest.raises(Invalid, match="limit 0"):
        database.read_sync(lambda db: list_artifacts(db, "p", limit=0))


def test_versions_are_listed_newest_first(add, database):
    for number in range(5):
        add(str(number))
    page = database.read_sync(lambda db: list_versions(db, "p", "prompt/answer", limit=3))
    assert [each.number for each in page.items] == [5, 4, 3]
    rest = database.read_sync(lambda db: list_versions(db, "p", "prompt/answer", limit=3, cursor=page.next))
    assert ([each.number for each in rest.items], rest.next) == ([2, 1], None)


def test_aliases_move_with_who_and_why_and_two_who_move_at_once_are_told(add, get, database):
    add("a")
    add("b")

    def move(ref, **more):
        return database.write_sync(
            lambda db: set_alias(db, "p", ref, "production", policies=LetAll(), by="ann", now_ns=7, **more)
        )

    move("prompt/answer@v1", why="first")
    move("prompt/answer@v2", why="better", expected="v1")
    assert get("prompt/answer@production").number == 2
    with pytest.raises(Conflict, match="points at v2 now, not at v1"):
        move("prompt/answer@v1", expected="v1")
    listed = database.read_sync(lambda db: list_aliases(db, "p", "prompt/answer"))
    assert [(each.alias, each.version.number) for each in listed] == [("latest", 2), ("production", 2)]
    moves = database.read_sync(lambda db: list_alias_moves(db, "p", "prompt/answer"))
    assert [(each.alias, each.before, each.after, each.why) for each in moves] == [
        ("production", 1, 2, "better"),
        ("production", None, 1, "first"),
        ("latest", 1, 2, "apply"),
        ("latest", None, 1, "apply"),
    ]
    for bad in ("latest", "v3", "sha256:ab"):
        with pytest.raises(Invalid):
            database.write_sync(lambda db, bad=bad: set_alias(db, "p", "prompt/answer", bad, policies=LetAll(), now_ns=1))
    with pytest.raises(NotFound):
        move("prompt/answer@v9")


def test_an_alias_does_not_move_when_latest_does(add, get, database):
    add("a")
    database.write_sync(lambda db: set_alias(db, "p", "prompt/answer", "production", policies=LetAll(), now_ns=1))
    add("b")
    assert (get("prompt/answer@production").number, get("prompt/answer").number) == (1, 2)
