"""Applies that meet each other, that are killed at any statement, and a clock that goes back: all of it, or nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from store.project import HANDBOOK, apply
from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.store.aliases import list_alias_moves, remove_alias, set_alias
from tidemill.store.audit import list_entries, verify
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.registry import get_version, list_artifacts, list_versions
from tidemill.store.tags import change_tags
from tidemill.testing import LetAll

TESTS = str(Path(__file__).parents[1])
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from sqlalchemy import event
from store.project import HANDBOOK, apply
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
root, left = Path(sys.argv[1]), int(sys.argv[2])
database = Database.open(root / "meta.db")

@event.listens_for(database.engine, "after_cursor_execute")
def _(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

apply(database, Blobs(root / "blobs", "p"), HANDBOOK.replace("only", "alone"))
print("applied", flush=True)
"""


def names(database):
    return {each.bare: each.latest.number for each in database.read_sync(lambda db: list_artifacts(db, "p")).items}


def test_an_apply_that_is_killed_at_any_statement_did_all_or_nothing(tmp_path):
    """One after another on one folder: what a killed one left is what the next finds."""
    before = {"chain/handbook": 1, "model/local": 1, "prompt/answer": 1}
    after = {"chain/handbook": 2, "model/local": 1, "prompt/answer": 2}
    with_database(tmp_path, lambda database, blobs: apply(database, blobs, HANDBOOK))
    for left in (1, 6, 12, 18, 24, 400):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(left), TESTS]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        found = with_database(tmp_path, lambda database, _blobs: names(database))
        if ended.returncode == 0:
            assert (ended.stdout, found) == ("applied\n", after)
            break
        assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")
        assert found == before
    else:
        pytest.fail("it was never let through")

    def again(database, blobs):
        assert apply(database, blobs, HANDBOOK.replace("only", "alone")).plan.changes == ()
        told = database.read_sync(lambda db: list_entries(db, "p", action="apply")).items
        assert len(told) == 2
        assert database.read_sync(lambda db: verify(db, "p")).ok

    with_database(tmp_path, again)


def with_database(folder, work):
    database = Database.open(folder / "meta.db")
    try:
        return work(database, Blobs(folder / "blobs", "p"))
    finally:
        database.close()


def test_applies_at_once_follow_each_other(database, blobs):
    texts = [HANDBOOK.replace("only", f"only {number}") for number in range(4)] * 2
    failed = []

    def one(text):
        try:
            apply(database, blobs, text)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=one, args=(text,)) for text in texts]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    kept = database.read_sync(lambda db: list_versions(db, "p", "prompt/answer")).items
    assert [each.number for each in kept] == [4, 3, 2, 1]
    assert len({each.digest for each in kept}) == 4
    chains = database.read_sync(lambda db: list_versions(db, "p", "chain/handbook")).items
    assert {each.refs["prompt/answer"] for each in chains} == {each.digest for each in kept}
    latest = database.read_sync(lambda db: (get_version(db, "p", "chain/handbook"), get_version(db, "p", "prompt/answer")))
    assert latest[0].refs["prompt/answer"] == latest[1].digest  # never the chain of one and the prompt of another


def test_a_reader_sees_an_alias_at_one_place_or_the_other(database, blobs):
    for word in ("one", "two"):
        apply(database, blobs, HANDBOOK.replace("only", word))
    moved = {"policies": LetAll(), "by": "ann", "now_ns": 1}
    database.write_sync(lambda db: set_alias(db, "p", "prompt/answer@v1", "live", **moved))
    stop, seen = threading.Event(), set()

    def read():
        while not stop.is_set():
            seen.add(database.read_sync(lambda db: get_version(db, "p", "prompt/answer@live")).number)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        database.write_sync(lambda db, to=1 + number % 2: set_alias(db, "p", f"prompt/answer@v{to}", "live", **moved))
    stop.set()
    reader.join()
    assert seen <= {1, 2}
    assert seen
    with pytest.raises(Conflict, match="points at v2 now, not at v1"):
        database.write_sync(lambda db: remove_alias(db, "p", "prompt/answer", "live", expected="v1", **moved))
    database.write_sync(lambda db: remove_alias(db, "p", "prompt/answer", "live", expected="v2", why="over", **moved))
    with pytest.raises(NotFound, match="prompt/answer has no version live"):
        database.read_sync(lambda db: get_version(db, "p", "prompt/answer@live"))
    move = database.read_sync(lambda db: list_alias_moves(db, "p", "prompt/answer", alias="live"))[0]
    assert (move.before, move.after, move.why) == (2, None, "over")


def test_a_clock_that_goes_back_changes_no_order(database, blobs):
    for now_ns, word in ((3 * 10**18, "one"), (2 * 10**18, "two"), (1, "three")):
        apply(database, blobs, HANDBOOK.replace("only", word), now_ns=now_ns)
    kept = database.read_sync(lambda db: list_versions(db, "p", "prompt/answer")).items
    assert [each.spec["text"].split()[4] for each in kept] == ["three.", "two.", "one."]
    assert database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).number == 3
    moves = database.read_sync(lambda db: list_alias_moves(db, "p", "prompt/answer"))
    assert [each.after for each in moves] == [3, 2, 1]
    assert database.read_sync(lambda db: verify(db, "p")).ok


@pytest.mark.parametrize(
    "tags", [{"": "x"}, {"a" * 129: "x"}, {'a"b': "x"}, {"a$[0]": "x"}, {"a": "x" * 1025}, {"a": "\x1b[31m"}]
)
def test_hostile_tags_are_refused(database, blobs, tags):
    apply(database, blobs, HANDBOOK)
    with pytest.raises(Invalid):
        database.write_sync(lambda db: change_tags(db, "p", "prompt/answer", tags=tags, by="ann", now_ns=1))
    many = {f"t{number}": "x" for number in range(65)}
    with pytest.raises(Invalid, match="65 tags, more than 64"):
        database.write_sync(lambda db: change_tags(db, "p", "prompt/answer", tags=many, by="ann", now_ns=1))


def test_what_is_searched_is_text_and_nothing_else(database, blobs):
    apply(database, blobs, HANDBOOK)
    database.write_sync(
        lambda db: change_tags(
            db, "p", "prompt/answer", tags={"team": "se%arch"}, description="Über 100 %", owner="ana", by="ann", now_ns=1
        )
    )

    def found(**more):
        return [each.bare for each in database.read_sync(lambda db: list_artifacts(db, "p", **more)).items]

    assert found(q="se%a") == found(q="TEAM") == found(q="100 %") == found(tags={"team": "se%arch"}) == ["prompt/answer"]
    assert found(owner="ana", kind="prompt") == ["prompt/answer"]
    for nothing in ({"q": "seXa"}, {"tags": {"team": "se_arch"}}, {"q": "' OR 1=1 --"}, {"owner": "an"}, {"q": '{"'}):
        assert found(**nothing) == []


def test_tags_stand_outside_the_digest_and_a_change_is_told(database, blobs):
    apply(database, blobs, HANDBOOK)
    before = database.read_sync(lambda db: get_version(db, "p", "prompt/answer"))
    change = {"by": "ann", "now_ns": 2}
    after = database.write_sync(lambda db: change_tags(db, "p", "prompt/answer@v1", tags={"a": "1", "b": "2"}, **change))
    assert (after.digest, after.number, dict(after.tags)) == (before.digest, 1, {"a": "1", "b": "2"})
    after = database.write_sync(lambda db: change_tags(db, "p", "prompt/answer", tags={"a": None}, **change))
    assert dict(after.tags) == {"b": "2"}
    assert database.write_sync(lambda db: change_tags(db, "p", "prompt/answer", tags={"b": "2"}, **change)) == after
    told = database.read_sync(lambda db: list_entries(db, "p", action="tag")).items
    assert [each.detail["after"] for each in told] == [{"tags": {"b": "2"}}, {"tags": {"a": "1", "b": "2"}}]
