"""Backups: whole or not there, checked before anything is touched, and from either database to either."""

from __future__ import annotations

import contextlib
import functools
import threading
import zipfile

import pytest
from sqlalchemy import insert, select, text

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Conflict, Invalid
from tidemill.store import audit, upkeep
from tidemill.store.backup import all_tables, blob_files
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.migrate import REVISIONS, upgrade
from tidemill.store.projects import ensure_project
from tidemill.store.registry import add_version, get_version
from tidemill.store.tables import alias_moves, evaluation_samples, scores, vectors
from tidemill.store.upkeep import Place, back_up, restore, state_of

ODD = {"text": "a\u0000b \u2028 🌊 e\u0301", "large": 2**53 - 1, "float": 1.5e-320, "list": [None, True, {}]}


def place_at(folder, url=None):
    return Place(database=url or folder / "meta.db", blobs=folder / "blobs", data=folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request, tmp_path):
    """A place with rows of every type, a chain of audit lines, blobs of two projects, and a key."""
    folder = tmp_path / "from"
    place = place_at(folder, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    folder.mkdir()
    (folder / "keys").mkdir()
    (folder / "keys" / "evidence.pem").write_text("a key")
    digests = [Blobs(place.blobs, project).put(f"{project} content".encode() * 1000) for project in ("p", "q")]

    def fill(db):
        ensure_project(db, "p", now_ns=1)
        for number in range(3):
            spec = {"n": number, **ODD}
            add_version(db, project="p", kind="prompt", name="a", parsed_spec=spec, refs={}, blobs={"b": digests[0]}, now_ns=1)
            audit.append(db, "p", who="admin", action="deploy", target="x", detail={"n": number}, now_ns=number)
        key = {"project": "p", "metric": "m", "reason": "", "created_ns": 2**62}
        db.execute(insert(scores), [{**key, "key": "1", "value": float("inf")}, {**key, "key": "2", "value": 0.1}])
        db.execute(insert(vectors), {"project": "p", "embedder": "e", "chunk": "c", "data": b"\x00\xff\x80", "created_ns": 1})
        sample = {"evaluation": "e", "sample": "s", "replicate": 0}
        db.execute(insert(evaluation_samples), {**sample, "data": {**ODD, "larger": 2**63 - 1, "least": -(2**63)}})

    with contextlib.closing(Database.open(place.database)) as database:
        database.write_sync(fill)
    return place


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path, postgres):
    """A place with nothing in it, on PostgreSQL a database without a table."""
    if request.param == "sqlite":
        yield place_at(tmp_path / "to")
    else:
        from tidemill.testing.postgres import new_database

        with new_database(postgres) as url:
            yield place_at(tmp_path / "to", url)


def everything(place):
    """Every row of every table, and every blob."""
    with contextlib.closing(Database.open(place.database)) as database:

        def read(db):
            tables = {name: each for name, each in all_tables().tables.items() if name != "processes"}
            return {name: sorted(map(repr, db.execute(select(each)))) for name, each in tables.items()}

        rows = database.read_sync(read)
    return rows, {name: path.read_bytes() for name, path in blob_files(place.blobs)}


def test_what_was_backed_up_is_restored_in_either_database(filled, empty, tmp_path):
    before = everything(filled)
    made = back_up(filled, tmp_path / "backup.zip")
    assert (tmp_path / "backup.zip").stat().st_mode & 0o777 == 0o600
    assert (made.blobs, made.tables["versions"], made.revision) == (2, 3, REVISIONS[-1])
    found = restore(empty, tmp_path / "backup.zip")
    assert found.digest == made.digest
    assert everything(empty) == before
    assert (empty.data / "keys" / "evidence.pem").read_text() == "a key"
    assert (empty.data / "keys" / "evidence.pem").stat().st_mode & 0o777 == 0o600
    with contextlib.closing(Database.open(empty.database)) as database:
        assert database.read_sync(lambda db: audit.verify(db, "p")).ok
        version = database.read_sync(lambda db: get_version(db, "p", "prompt/a"))
        assert version.spec == {"n": 2, **ODD}
        # numbers that the database gives out go on where they were
        move = {"project": "p", "kind": "k", "name": "n", "alias": "a", "after": 1, "moved_by": "", "why": "", "moved_ns": 1}
        database.write_sync(lambda db: db.execute(insert(alias_moves), move))
        ids = database.read_sync(lambda db: db.execute(select(alias_moves.c.id).order_by(alias_moves.c.id)).scalars().all())
    assert ids == [1, 2, 3, 4]


def test_what_is_left_of_erased_rows_comes_back_and_the_rows_do_not(tmp_path):
    place = place_at(tmp_path / "from")
    blobs = Blobs(place.blobs, "p")
    digest = blobs.put(b'{"id":"a"}\n{"id":"b"}\n')
    blobs.erase(digest, {digest_bytes(b'{"id":"a"}')}, told={"at_ns": "1", "why": "asked", "by": "admin"})
    with contextlib.closing(Database.open(place.database)) as database:
        database.write_sync(lambda db: ensure_project(db, "p", now_ns=1))
    left = blobs.get(digest)
    back_up(place, tmp_path / "backup.zip")
    restore(place_at(tmp_path / "to"), tmp_path / "backup.zip")
    again = Blobs(tmp_path / "to" / "blobs", "p")
    assert b'"a"' not in left
    assert (again.get(digest), again.state(digest)) == (left, blobs.state(digest))
    assert again.state(digest)[0] == "erased"


def test_a_place_that_holds_something_is_left_alone_unless_it_is_meant(filled, tmp_path):
    back_up(filled, tmp_path / "backup.zip")
    with contextlib.closing(Database.open(filled.database)) as database:
        database.write_sync(lambda db: ensure_project(db, "later", now_ns=1))
    before = everything(filled)
    with pytest.raises(Conflict, match="rows are in the database already; nothing was changed"):
        restore(filled, tmp_path / "backup.zip")
    assert everything(filled) == before
    restore(filled, tmp_path / "backup.zip", force=True)
    assert "later" not in str(everything(filled)[0]["projects"])


@pytest.mark.parametrize("damage", ["cut", "cut late", "flipped", "row", "blob", "manifest", "extra", "gone", "no zip"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(damage, filled, tmp_path):
    whole, bad = tmp_path / "backup.zip", tmp_path / "bad.zip"
    back_up(filled, whole)
    content = whole.read_bytes()
    if damage == "cut":
        bad.write_bytes(content[: len(content) // 2])
    elif damage == "cut late":
        bad.write_bytes(content[:-10])
    elif damage == "flipped":
        at = content.index(b"tables/versions.jsonl") + 60
        bad.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
    elif damage == "no zip":
        bad.write_bytes(b"x" * 1000)
    else:
        rewrite(whole, bad, damage)
    target = place_at(tmp_path / "to")
    with pytest.raises(Invalid) as caught:
        restore(target, bad)
    assert "nothing was changed" in caught.value.hint
    assert not target.data.exists()


def rewrite(whole, bad, damage):
    """Write the zip file again, with one part otherwise."""
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(bad, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if damage == "row" and info.filename == "tables/versions.jsonl":
                content = content.replace(b'"prompt"', b'"prompts"', 1)
            elif damage == "blob" and info.filename.startswith("blobs/p/"):
                content += b"x"
            elif damage == "manifest" and info.filename == "manifest.json":
                content = content.replace(b'"rows":3', b'"rows":2', 1)
            elif damage == "gone" and info.filename.startswith("blobs/q/"):
                continue
            new.writestr(info.filename, content)
        if damage == "extra":
            new.writestr("../../outside", b"x")


def test_a_backup_that_fails_half_way_is_not_there(filled, tmp_path, monkeypatch):
    blob = next(blob_files(filled.blobs))[1]
    blob.unlink()
    blob.mkdir()  # reading it fails
    with pytest.raises(Exception, match=r"."):
        back_up(filled, tmp_path / "backup.zip")
    assert [each.name for each in tmp_path.iterdir() if each.is_file() and "meta" not in each.name] == []


def test_a_backup_names_nothing_that_is_there(filled, tmp_path):
    (tmp_path / "backup.zip").write_text("mine")
    with pytest.raises(Conflict, match="a file of that name"):
        back_up(filled, tmp_path / "backup.zip")
    assert (tmp_path / "backup.zip").read_text() == "mine"


def test_a_backup_made_while_others_write_is_of_one_moment(filled, tmp_path):
    """A version and its audit line are one transaction: a backup has both or neither."""
    stop = threading.Event()

    def write(db, number):
        add_version(db, project="p", kind="prompt", name="w", parsed_spec={"n": number}, refs={}, blobs={}, now_ns=1)
        audit.append(db, "w", who="admin", action="apply", target="w", detail={}, now_ns=number)

    with contextlib.closing(Database.open(filled.database)) as database:

        def go_on():
            for number in range(100_000):
                if stop.is_set():
                    return
                database.write_sync(functools.partial(write, number=number))

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            made = [back_up(filled, tmp_path / f"{number}.zip") for number in range(3)]
        finally:
            stop.set()
            writer.join()
    target = place_at(tmp_path / "to")
    restore(target, tmp_path / "2.zip")
    with contextlib.closing(Database.open(target.database)) as restored:
        lines = restored.read_sync(lambda db: audit.verify(db, "w"))
        count = restored.read_sync(lambda db: db.execute(text("SELECT count(*) FROM versions WHERE name = 'w'")).scalar())
    assert lines.ok
    assert (lines.lines, count) == (count, made[-1].tables["versions"] - 3)


def test_a_backup_of_an_older_schema_is_brought_up_to_date(empty, tmp_path):
    old = place_at(tmp_path / "from")
    old.data.mkdir()
    with contextlib.closing(Database.open(old.database, migrate=False)) as database, database.engine.begin() as db:
        upgrade(db, to=REVISIONS[3])
        db.execute(text("INSERT INTO projects (name, created_ns) VALUES ('old', 7)"))
    state = state_of(old)
    assert (state.revision, tuple(state.pending), state.tables["projects"]) == (REVISIONS[3], REVISIONS[4:], 1)
    back_up(old, tmp_path / "backup.zip")
    restore(empty, tmp_path / "backup.zip")
    state = state_of(empty)
    assert (state.revision, state.tables["projects"], state.integrity) == (REVISIONS[-1], 1, "ok")


def test_the_state_of_nothing_and_a_dry_run_change_nothing(empty):
    state = state_of(empty)
    assert (state.revision, tuple(state.pending), state.tables) == (None, REVISIONS, {})
    revisions, statements = upkeep.upgrade_schema(empty, dry_run=True)
    assert tuple(revisions) == REVISIONS
    assert any(each.startswith("CREATE TABLE versions") for each in statements)
    assert state_of(empty).revision is None
    assert tuple(upkeep.upgrade_schema(empty)[0]) == REVISIONS
    assert upkeep.upgrade_schema(empty) == ((), ())


def test_a_newer_schema_is_neither_read_nor_upgraded(filled, tmp_path):
    with contextlib.closing(Database.open(filled.database)) as database:
        database.write_sync(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for refused in (
        functools.partial(state_of, filled),
        functools.partial(upkeep.upgrade_schema, filled),
        functools.partial(back_up, filled, tmp_path / "b.zip"),
    ):
        with pytest.raises(Conflict, match="made by a newer Tidemill"):
            refused()
    assert not (tmp_path / "b.zip").exists()
