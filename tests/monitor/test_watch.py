"""The whole way through the public doors: traffic moves, the monitor says so, tells a receiver, rolls back, proposes."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from e2e.processes import Server, Shell, served

BANK = ("please freeze my card", "what is my balance", "move money to savings", "pay my bill", "my card is lost")
TRIP = ("book a flight to paris", "find a hotel on the beach", "will it rain in rome", "rent me a car", "plan a holiday")
DOCUMENTS = """
kind: model
name: said
provider: test
reply: "%s"
---
kind: prompt
name: route
model: model/said
text: "{{question}}"
variables: [question]
---
kind: embedder
name: words
provider: test
---
kind: dataset
name: questions
path: questions.jsonl
roles: {id: id, input: question, reference: answer}
---
kind: scorer
name: short
call: lengths:short
reads: [output]
---
kind: monitor
name: intents
endpoint: endpoint/route
reference: dataset/questions
embedder: embedder/words
tests: [tokens, vocabulary, topics, embeddings]
simulations: 200
quality: {share: 0.5, scorers: [scorer/short, exact_match], bucket: 1m}
alerts:
  - name: new intents
    when: drift.alarm && topics.new > 0
    then:
      - webhook: {url: "http://127.0.0.1:%d/hook", secret: env:HOOK_SECRET, allow_private: true}
      - rollback
  - name: never
    when: drift.p_value < 0.0
  - name: hung
    when: window.errors >= 0.0 && drift.alarm
    then:
      - webhook: {url: "http://127.0.0.1:%d/hang", secret: env:HOOK_SECRET, allow_private: true, timeout: 0.3}
      - webhook: {url: "http://10.255.255.1/hook", secret: env:HOOK_SECRET}
"""


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent; `/hang` never answers until it is let go."""

    seen: queue.Queue[tuple[dict[str, str], bytes]]
    hung: queue.Queue[str]
    free: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/hang":
            self.hung.put(self.path)
            self.free.wait(60)
            return
        self.seen.put((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[tuple[HTTPServer, type[Receiver]]]:
    from http.server import ThreadingHTTPServer

    Receiver.seen, Receiver.hung, Receiver.free = queue.Queue(), queue.Queue(), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, Receiver
    Receiver.free.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, receiver) -> Iterator[tuple[Server, Shell]]:
    folder: Path = tmp_path_factory.mktemp("watched")
    (folder / "tidemill").mkdir()
    rows = [{"id": str(n), "question": f"{BANK[n % 5]} {n % 7}", "answer": "bank"} for n in range(120)]
    (folder / "tidemill" / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (folder / "lengths.py").write_text("def short(output):\n    return float(len(output) < 100)\n", "utf-8")
    port = receiver[0].server_address[1]
    with served(folder, HOOK_SECRET="tide") as server:
        shell = server.shell
        for reply in ("first", "second"):  # two releases, so that there is a way back
            shell.write(app=DOCUMENTS % (reply, port, port))
            shell.json("apply")
            shell.json("deploy", "prompt/route", "--to", "endpoint/route")
        yield server, shell


def ask(server: Server, texts) -> None:
    def one(text: str) -> None:
        body = {"model": "endpoint/route", "messages": [{"role": "user", "content": text}]}
        assert server.http.post("/v1/chat/completions", json=body).status_code == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, texts))


def test_five_requests_and_none_decide_nothing(watched) -> None:
    server, shell = watched
    empty = shell.json("monitor", "run", "monitor/intents", "--window", "1s", "--to", "2020-01-01T00:00:00Z")
    assert empty["verdict"] == "undecidable"
    ask(server, BANK)
    few = shell.json("monitor", "run", "monitor/intents")
    assert (few["verdict"], few["alarm"], few["p_value"]) == ("undecidable", False, None)
    assert few["window"]["n"] == 5
    assert "5 texts" in few["drift"]["reason"]
    assert {each["holds"] for each in few["rules"]} == {None}
    assert shell.json("alerts", "list")["items"] == []
    assert shell("monitor", "run", "monitor/intents", "--check").code == 0


def test_unknown_names_are_told_at_once(watched) -> None:
    _, shell = watched
    shell("monitor", "run", "monitor/intentz").refused(3, "monitor/intentz", "Did you mean monitor/intents")
    shell("monitor", "run", "--endpoint", "endpoint/rout", "--reference", "dataset/questions").refused(3, "endpoint/rout")
    shell("monitor", "run", "--endpoint", "endpoint/route", "--reference", "dataset/question").refused(3, "dataset/questions")
    shell("monitor", "run", "--endpoint", "endpoint/route").refused(2, "a reference, quality, or both")
    shell("monitor", "run", "--reference", "7d").refused(2, "what shall be watched is missing")
    shell("monitor", "run", "--endpoint", "route", "--reference", "7d", "--scorer", "mrr").refused(
        2, "gold", "no live trace has"
    )
    shell("monitor", "show", "0000000000").refused(3, "tidemill monitor list")
    shell("alerts", "ack", "0000000000").refused(3, "tidemill alerts list")


def test_a_rule_that_does_not_compile_is_refused_with_its_line(watched) -> None:
    _, shell = watched
    text = (
        "kind: monitor\nname: odd\nendpoint: endpoint/route\nreference: dataset/questions\nalerts:\n  - when: drift.p_value <\n"
    )
    path = shell.folder / "tidemill" / "odd.yaml"
    try:
        path.write_text(text, "utf-8")
        shell("apply", "--yes").refused(2, "is not CEL", where="odd.yaml:6")
        path.write_text(text.replace("drift.p_value <", "drift.alarm").replace("dataset/questions", "dataset/nope"), "utf-8")
        shell("apply", "--yes").refused(2, "dataset/nope", where="odd.yaml:4")
    finally:
        path.unlink()


def test_drift_is_found_told_rolled_back_and_taught(watched, receiver) -> None:
    server, shell = watched
    before = shell.json("show", "endpoint/route")
    ask(server, [f"{BANK[n % 5]} {n % 7}" for n in range(60)])
    same = shell.json("monitor", "run", "monitor/intents")
    assert same["verdict"] == "no_drift_shown"
    ask(server, [f"{TRIP[n % 5]} {n % 7}" for n in range(60)])

    found = shell.json("monitor", "run", "monitor/intents")
    assert found["verdict"] == "drift"
    assert found["alarm"] is True
    assert found["drift"]["tests"]["embeddings"]["alarm"] is True
    low, high = found["drift"]["false_alarms"]["interval"]
    assert low <= 0.05
    assert low <= found["drift"]["false_alarms"]["rate"] <= high
    new = [each for each in found["topics"] if each["change"] == "new"]
    assert {word for each in new for word in each["words"]} & set(" ".join(TRIP).split())
    assert all(each["examples"][0]["trace"] for each in new)
    assert [each["holds"] for each in found["rules"]] == [True, False, True]

    headers, body = receiver[1].seen.get(timeout=30)
    told = json.loads(body)
    assert told["monitor"] == "monitor/intents"
    assert told["run"] == found["id"]
    assert {name.lower() for name in headers} >= {"x-tidemill-signature", "x-tidemill-timestamp", "x-tidemill-delivery"}
    server.wait_for_job(f"alert-{told['id']}")
    alert = shell.json("alerts", "show", told["id"])
    assert [each["status"] for each in alert["actions"]] == ["done", "done"]
    after = shell.json("show", "endpoint/route")
    assert after["release"] == before["previous"]
    assert after["history"][0]["by"] == "monitor/intents"

    proposed = shell.json("monitor", "show", found["id"])["proposals"]
    assert proposed
    accepted = shell.json("monitor", "accept", found["id"][:20], "--to", "dataset/questions", "--ids", "1")
    assert accepted["added"] == 1
    row = server.get("/datasets/questions/samples", limit=1000)["items"][-1]["row"]
    assert row["trace"] == proposed[0]["trace"]
    assert shell.json("monitor", "accept", found["id"], "--to", "dataset/questions", "--ids", "1")["added"] == 0
    shell("monitor", "accept", found["id"], "--to", "dataset/questions", "--ids", "999").refused(2, "no sample 999")

    again = shell.json("monitor", "run", "monitor/intents")
    assert again["alarm"]
    headers, body = receiver[1].seen.get(timeout=30)
    server.wait_for_job(f"alert-{json.loads(body)['id']}")
    second = shell.json("alerts", "show", json.loads(body)["id"])
    assert second["actions"][1]["status"] == "skipped"
    assert "a person decides" in second["actions"][1]["detail"]
    assert shell.json("show", "endpoint/route")["release"] == after["release"]

    assert shell.json("alerts", "ack", told["id"], "--note", "seen")["status"] == "acknowledged"
    assert told["id"] not in {each["id"] for each in shell.json("alerts", "list")["items"]}
    assert told["id"] in {each["id"] for each in shell.json("alerts", "list", "--status", "all")["items"]}


def test_a_webhook_that_hangs_is_cut_and_the_alert_says_so(watched, receiver) -> None:
    """Runs after the alarms above; the deliveries go on in the server meanwhile."""
    _, shell = watched
    receiver[1].hung.get(timeout=30)
    receiver[1].hung.get(timeout=30)  # it was tried again, so the first attempt was noted
    hung = [each for each in shell.json("alerts", "list")["items"] if each["name"] == "hung"]
    actions = [action for each in hung for action in each["actions"]]
    assert any("did not answer within 0.3 s, and was cut off" in each["detail"] for each in actions)
    assert any(each["status"] == "failed" and "private network" in each["detail"] for each in actions)


def test_live_traces_are_scored_once_by_their_share(watched) -> None:
    _, shell = watched
    first = shell.json("monitor", "run", "monitor/intents")["quality"]
    assert first["fresh"] == 0  # the runs before scored them
    assert 0 < first["sampled"] < 125
    short = first["metrics"]["short"]
    assert (short["mean"], short["n"]) == (1.0, first["sampled"])
    assert short["interval"][0] < 1
    assert first["metrics"]["exact_match"]["n"] == 0  # nobody corrected any of them
    shown = shell.json("monitor", "show", "monitor/intents")
    assert sum(each["n"] for each in shown["quality"]["trend"]["short"]) == first["sampled"]
    text = shell("monitor", "show", "monitor/intents").out
    assert "95% interval" in text


def test_a_correction_lets_a_reference_be_scored(watched) -> None:
    server, shell = watched
    traces = server.get("/traces", filter="endpoint=route", limit=200)["items"]
    for each in traces:
        server.post("/feedback", {"trace": each["id"], "kind": "correction", "value": each["output"]})
    quality = shell.json("monitor", "run", "monitor/intents")["quality"]
    assert quality["metrics"]["exact_match"]["n"] == quality["sampled"]
    assert quality["metrics"]["exact_match"]["mean"] == 1.0


def test_a_past_window_as_reference(watched) -> None:
    _, shell = watched
    found = shell.json("monitor", "run", "--endpoint", "route", "--reference", "1d", "--window", "1s", "--embedder", "words")
    assert found["reference"]["n"] > 100
    assert found["verdict"] == "undecidable"
    lines = shell("monitor", "list").out
    assert "asked for once" not in lines
    assert "drift" in lines
