"""A request that is sent again under its key is carried out once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from fastapi.dependencies.models import Dependant

from api.house import House, Project
from tidemill.api.caller import ASKING
from tidemill.api.control import ROUTES
from tidemill.api.idempotency import IdempotencyPurge
from tidemill.store import idempotency, processes
from tidemill.store.database import Database
from tidemill.store.idempotency import Answer, Slot
from tidemill.store.processes import Process

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
    secret = first.json()["key"].split("_", 2)[2].encode()  # the secret itself may hold underscores
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


def _member(house: House, project: Project, name: str) -> str:
    """The key of somebody to whom nothing is granted yet."""
    house.http.post("/api/v1/people", json={"name": name}).raise_for_status()
    return project.post("/keys", {"role": "admin", "person": name})["key"]


def _grant(project: Project, name: str, role: str, on: str = "*") -> str:
    return project.post("/access", {"person": name, "role": role, "on": on})["id"]


def test_the_right_is_asked_again_before_the_answer_is_given_again(house: House, filled: Project) -> None:
    key = _member(house, filled, "eve")
    _grant(filled, "eve", "viewer")
    rule = _grant(filled, "eve", "developer")
    path, body = f"{filled.base}/releases", {"root": "chain/tide"}
    with house.client(key) as eve:
        first = eve.post(path, json=body, headers=keyed("eve"))
        assert first.status_code == 201, first.text
        assert eve.post(path, json=body, headers=keyed("eve")).headers["idempotency-replayed"] == "true"
        filled("DELETE", f"/access/{rule}")
        denied = eve.post(path, json=body, headers=keyed("eve"))
        assert (denied.status_code, denied.json()["code"]) == (403, "denied"), denied.text
        assert "idempotency-replayed" not in denied.headers
        _grant(filled, "eve", "developer")
        again = eve.post(path, json=body, headers=keyed("eve"))
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")


def test_a_right_that_only_the_body_names_is_asked_again_too(house: House, filled: Project) -> None:
    key = _member(house, filled, "ned")
    _grant(filled, "ned", "viewer")
    _grant(filled, "ned", "developer", "dataset/other")
    rule = _grant(filled, "ned", "developer", "prompt/new")
    body = {"files": {"tidemill/new.yaml": "kind: prompt\nname: new\ntext: hello"}}
    with house.client(key) as ned:
        first = ned.post(f"{filled.base}/apply", json=body, headers=keyed("ned"))
        assert first.status_code == 200, first.text
        assert ned.post(f"{filled.base}/apply", json=body, headers=keyed("ned")).json() == first.json()
        filled("DELETE", f"/access/{rule}")
        denied = ned.post(f"{filled.base}/apply", json=body, headers=keyed("ned"))
        assert (denied.status_code, "prompt/new" in denied.json()["detail"]) == (403, True), denied.text


def test_an_answer_is_given_again_though_the_project_was_archived_since(house: House, filled: Project) -> None:
    first = filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("r"))
    filled("PATCH", "", json={"archived": True})
    assert filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("r")).json() == first.json()
    assert filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers=keyed("new")).status_code == 409


def test_every_route_that_changes_anything_says_who_is_calling_before_it_runs() -> None:
    def asks(dependant: Dependant) -> bool:
        return any(each.call in ASKING or asks(each) for each in dependant.dependencies)

    bare = [
        each.path
        for each in ROUTES.known
        if each.methods & {"POST", "PUT", "PATCH", "DELETE"} and not asks(each.route.dependant)
    ]
    assert bare == []


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
    """The claim of a server process."""
    return database.write_sync(lambda db: idempotency.claim(db, slot, process=process, is_shared=is_shared, now_ns=now))


def answer() -> Answer:
    return Answer(status=200, content_type="application/json", location="", etag="", body=b"{}", created_ns=1)


def test_a_killed_process_leaves_the_request_to_be_carried_out(database: Database) -> None:
    assert claim(database) == "mine"
    assert claim(database) == "busy"
    assert claim(database, process="b") == "mine"  # nobody else can be at it: the process before this one is gone


def test_of_processes_that_share_a_database_one_that_was_killed_blocks_no_longer_than_it_is_taken_for_alive(
    database: Database,
) -> None:
    database.write_sync(lambda db: processes.register(db, Process(id="a", host="h", pid=1, blobs="x")))
    assert claim(database, process="a", is_shared=True) == "mine"
    assert claim(database, process="b", is_shared=True, now=DAY - 1) == "busy"  # however long it takes
    assert database.write_sync(lambda db: processes.bury(db, lease_ns=-(10**9))) == 1
    assert claim(database, process="b", is_shared=True) == "mine"
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer(), process="a"))  # it was not dead, and comes late
    database.write_sync(lambda db: idempotency.forget(db, SLOT, process="a"))
    assert claim(database, process="b", is_shared=True) == "busy"
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer(), process="b"))
    assert claim(database, process="c", is_shared=True) == answer()


def test_an_answer_is_kept_for_a_day(database: Database) -> None:
    claim(database)
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer(), process="a"))
    assert claim(database, now=DAY) == answer()
    assert claim(database, slot=Slot(project="p", principal="admin", key="k", fingerprint="g")) == "other"
    assert claim(database, now=DAY + 2) == "mine"


def test_the_clock_set_back_keeps_no_answer_for_ever(database: Database) -> None:
    claim(database, now=DAY * 9)
    database.write_sync(lambda db: idempotency.keep(db, SLOT, answer(), process="a"))
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
