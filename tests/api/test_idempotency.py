"""A request that is sent again under its key is carried out once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from api.house import House, Project
from tidemill.api.idempotency import IdempotencyPurge
from tidemill.store import idempotency
from tidemill.store.database import Database
from tidemill.store.idempotency import Answer, Slot

SLOT = Slot(project="p", principal="admin", key="k", fingerprint="f")
DAY = idempotency.KEPT_NS


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def test_the_same_request_gets_the_same_answer(filled: Project) -> None:
    first = filled.raw("POST", "/evaluations", json={"app": "chain/tide", "data": "dataset/questions"}, headers=keyed("e1"))
    again = filled.raw("POST", "/evaluations", json={"app": "chain/tide", "data": "dataset/questions"}, headers=keyed('"e1"'))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(filled.get("/evaluations")["items"]) == 1
    filled.finish(first.json()["job"])


def test_another_request_under_the_key_is_refused(filled: Project) -> None:
    filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("r"))
    for method, path, body in (("POST", "/releases", {"root": "prompt/ask"}), ("POST", "/plan", {"root": "chain/tide"})):
        other = filled.raw(method, path, json=body, headers=keyed("r"))
        assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_what_failed_is_carried_out_when_it_is_sent_again(filled: Project) -> None:
    body = {"app": "chain/later"}
    assert filled.raw("POST", "/endpoints/e:deploy", json=body, headers=keyed("d")).status_code == 404
    filled.apply(
        a="kind: prompt\nname: p\ntext: hi\n---\nkind: chain\nname: later\n"
        "steps: [{id: a, prompt: prompt/p, model: model/said}]"
    )
    done = filled.raw("POST", "/endpoints/e:deploy", json=body, headers=keyed("d"))
    assert done.status_code == 200, done.text


def test_a_key_is_its_senders_and_projects(house: House, filled: Project) -> None:
    other = house.project()
    other.apply()
    mine = filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("same"))
    theirs = other.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("same"))
    assert "idempotency-replayed" not in theirs.headers
    key = filled.post("/keys", {"role": "developer"})["key"]
    with house.client(key) as someone:
        third = someone.post(f"{filled.base}/releases", json={"root": "chain/tide"}, headers=keyed("same"))
    assert (mine.status_code, third.status_code) == (201, 201)
    assert "idempotency-replayed" not in third.headers


def test_a_secret_is_never_written_down(house: House, project: Project) -> None:
    first = project.raw("POST", "/keys", json={"role": "viewer"}, headers=keyed("k1"))
    assert first.status_code == 201
    again = project.raw("POST", "/keys", json={"role": "viewer"}, headers=keyed("k1"))
    assert (again.status_code, again.json()["code"], again.headers["idempotency-replayed"]) == (409, "conflict", "true")
    assert len(project.get("/keys")["items"]) == 1
    secret = first.json()["key"].rpartition("_")[2].encode()
    for file in house.data.glob("meta.db*"):
        assert secret not in file.read_bytes(), file
    with sqlite3.connect(f"file:{house.data / 'meta.db'}?mode=ro", uri=True) as db:
        kept = db.execute("SELECT status, body FROM idempotent_answers WHERE project = ?", (project.name,)).fetchall()
    db.close()
    assert kept == [(201, None)]


def test_two_at_once_are_carried_out_once(filled: Project) -> None:
    def start(_: int) -> tuple[int, str | None, str]:
        answer = filled.raw(
            "POST", "/evaluations", json={"app": "chain/tide", "data": "dataset/questions"}, headers=keyed("at-once")
        )
        return answer.status_code, answer.headers.get("idempotency-replayed"), answer.text

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(start, range(6)))
    assert len({text for *_, text in answers}) == 1, answers
    assert sorted(str(replayed) for _, replayed, _ in answers) == ["None", *["true"] * 5]
    (only,) = filled.get("/evaluations")["items"]
    filled.finish(only["job"])


def test_a_stream_is_not_kept(filled: Project) -> None:
    body = {"app": "chain/tide", "inputs": {"question": "?"}, "stream": True}
    for _ in range(2):
        answer = filled.raw("POST", "/runs", json=body, headers=keyed("s"))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "idempotency-replayed" not in answer.headers
        assert "event: result" in answer.text


def test_deleting_again_is_answered_as_before(project: Project) -> None:
    made = project.post("/keys", {"role": "viewer"})
    for _ in range(2):
        answer = project.raw("DELETE", f"/keys/{made['id']}", headers=keyed("gone"))
        assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "é"])
def test_keys_that_are_none(filled: Project, key: str) -> None:
    answer = filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers={"idempotency-key": key.encode()})
    assert answer.status_code == 400
    assert answer.json()["where"] == "header.idempotency-key"


@pytest.fixture
def database(tmp_path):
    opened = Database.open(tmp_path / "meta.db")
    yield opened
    opened.close()


def claim(database: Database, *, process: str = "a", is_shared: bool = False, now: int = 1, slot: Slot = SLOT):
    return database.write_sync(lambda db: idempotency.claim(db, slot, process=process, is_shared=is_shared, now_ns=now))


def answer() -> Answer:
    return Answer(status=200, content_type="application/json", location="", etag="", body=b"{}", created_ns=1)


def test_a_killed_process_leaves_the_request_to_be_carried_out(database: Database) -> None:
    assert claim(database) == "mine"
    assert claim(database) == "busy"
    assert claim(database, process="b", is_shared=True) == "busy"
    assert claim(database, process="b") == "mine"  # nobody else can be at it: the process before this one is gone
    assert claim(database, process="c", is_shared=True, now=1 + idempotency.LEASE_NS) == "mine"


def test_an_answer_is_kept_for_a_day(database: Database) -> None:
    claim(database)
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer()))
    assert claim(database, now=DAY) == answer()
    assert claim(database, slot=Slot(project="p", principal="admin", key="k", fingerprint="g")) == "other"
    assert claim(database, now=DAY + 2) == "mine"


def test_the_clock_set_back_keeps_no_answer_for_ever(database: Database) -> None:
    claim(database, now=DAY * 9)
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer()))
    assert claim(database, now=1) == "mine"


@pytest.mark.anyio
async def test_old_answers_are_purged(database: Database) -> None:
    class Clock:
        def now_ns(self) -> int:
            return DAY * 2

    claim(database)
    claim(database, now=DAY * 2, slot=Slot(project="p", principal="admin", key="new", fingerprint="f"))
    assert await IdempotencyPurge(database=database, clock=Clock()).look() == ()
    left = await database.read(lambda db: db.execute(idempotency.answers.select()).all())
    assert [row.key for row in left] == ["new"]
    await anyio.lowlevel.checkpoint()
