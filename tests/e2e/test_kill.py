"""kill -9 of the server at work: what was acknowledged is there, and what was begun goes on."""

from __future__ import annotations

import os
import select
import threading
from collections import Counter
from pathlib import Path

import httpx

from e2e.processes import Server, served
from e2e.upstream import Handler, listening, reached_at

MODEL = """
kind: model
name: m
provider: test
reply: "number {number}"
---
kind: dataset
name: d
rows: [{{question: q, n: {number}}}]
roles: {{input: question}}
"""


def test_nothing_acknowledged_is_lost(folder: Path) -> None:
    """Every apply and every deploy that was answered before the kill is there after it."""
    applied, released = list[str](), list[str]()
    enough = threading.Event()

    def work(server: Server) -> None:
        for number in range(10_000):
            try:
                made = server.post("/apply", {"files": {"tidemill/app.yaml": MODEL.format(number=number)}})
                applied.extend(each["digest"] for each in made["versions"])
                released.append(server.post("/endpoints/live:deploy", {"app": "model/m"})["release"])
            except httpx.TransportError:
                return
            if len(released) >= 6:
                enough.set()

    server = Server(folder)
    worker = threading.Thread(target=work, args=(server,))
    worker.start()
    assert enough.wait(60)
    server.http.get(f"{server.api}/traces")  # needs the analytics child, where that is installed
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    watched = [os.pidfd_open(int(each)) for each in children]
    server.process.kill()
    worker.join(60)
    server.kill()
    for each in watched:
        assert select.select([each], [], [], 10)[0], "a child outlived the server"
        os.close(each)
    with served(folder) as again:
        kept = {
            each["digest"]
            for name in ("model/m", "dataset/d")
            for each in again.get(f"/artifacts/{name}/versions", limit=1000)["items"]
        }
        assert set(applied) <= kept
        endpoint = again.get("/endpoints/live")
        history = [each["release"] for each in reversed(endpoint["history"])]
        assert [each for each in history if each in set(released)][-1] == released[-1]
        body = {"model": "endpoint/live", "messages": [{"role": "user", "content": "?"}]}
        answer = again.http.post("/v1/chat/completions", json=body)
        assert answer.headers["x-tidemill-release"] == endpoint["release"]
        assert answer.json()["choices"][0]["message"]["content"].startswith("number ")
        assert again.shell.json("get")  # and the command line finds it


def test_an_evaluation_goes_on_where_it_was(folder: Path) -> None:
    """Ten samples are done when the server is killed: those are not asked again, and all are there at the end."""
    asked: Counter[str] = Counter()
    lock, go_on = threading.Lock(), threading.Event()

    def answer(handler: Handler, body: dict) -> None:
        question = body["messages"][-1]["content"]
        with lock:
            asked[question] += 1
            place = asked.total()
        if place > 10:
            go_on.wait(60)
        handler.complete("yes")

    rows = "\n".join(f"  - {{id: s{number}, question: q{number}, answer: 'yes'}}" for number in range(24))
    dataset = f"---\nkind: dataset\nname: d\nrows:\n{rows}\nroles: {{id: id, input: question, reference: answer}}\n"
    with listening({"slow": answer}) as (url, _):
        server = Server(folder, UPSTREAM_KEY="k")
        server.shell.write(app=reached_at("app", f"{url}/slow/v1", timeout=60) + dataset)
        server.shell.json("apply")
        started = server.post("/evaluations", {"app": "chain/app", "data": "dataset/d", "scorers": ["exact_match"]})
        assert server.wait_for_job(started["job"], done=10)["progress"]["done"] == 10
        done = {each["sample"] for each in server.get(f"/evaluations/{started['evaluation']}/samples")["items"]}
        assert len(done) == 10
        server.kill()
        go_on.set()
        with served(folder, UPSTREAM_KEY="k") as again:
            assert again.wait_for_job(started["job"])["status"] == "done"
            found = again.get(f"/evaluations/{started['evaluation']}")
            samples = [each["sample"] for each in again.get(f"/evaluations/{started['evaluation']}/samples")["items"]]
    assert (found["status"], found["samples"], found["errors"], found["calls"]["model"]) == ("done", 24, 0, 24)
    assert sorted(samples) == sorted(f"s{number}" for number in range(24))
    assert {f"q{name[1:]}": asked[f"q{name[1:]}"] for name in done} == {f"q{name[1:]}": 1 for name in done}
    assert len(asked) == 24
