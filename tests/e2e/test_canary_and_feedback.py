"""The road from an answer to what was said of it, to samples; and a canary beside the stable release, over a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from e2e.processes import Server, Shell, served
from e2e.specs import answering

API = "/api/v1/projects/default"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two endpoints of one application."""
    with served(tmp_path_factory.mktemp("project")) as running:
        running.shell.write(app=answering("tide", 'reply: "ebb at {{input}}"'))
        running.shell.json("apply")
        for name in ("live", "other"):
            running.post(f"/endpoints/{name}:deploy", {"app": "chain/tide"})
        yield running


@pytest.fixture
def shell(server: Server) -> Shell:
    return server.shell


def ask(server: Server, text: str, *, endpoint: str = "live", user: str = "", **body: object) -> httpx.Response:
    body = {"model": f"endpoint/{endpoint}", "messages": [{"role": "user", "content": text}], **body}
    headers = {"x-tidemill-user": user} if user else {}
    answer = server.http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def trace_of(answer: httpx.Response) -> str:
    return answer.headers["x-tidemill-trace"]


def test_feedback_is_taken_at_once_and_shown_with_its_trace(server: Server, shell: Shell) -> None:
    trace = trace_of(ask(server, "Husum", user="ann"))
    first = {"id": "app-1", "trace": trace, "kind": "thumbs", "value": "down", "user": "ann"}
    made = server.http.post(f"{API}/feedback", json=first)  # the trace may still be on its way to the store
    again = server.http.post(f"{API}/feedback", json=first)
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    other = server.http.post(f"{API}/feedback", json={**first, "value": "up"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    shell.json("feedback", "add", trace, "--correction", "ebb at noon", "--score", "helpful=0.2", "--event", "copied")
    shown = shell.json("traces", "show", trace[:20])["feedback"]
    assert {(each["kind"], each["name"], each["value"]) for each in shown} == {
        ("thumbs", "", "down"), ("correction", "", "ebb at noon"), ("score", "helpful", 0.2), ("event", "copied", None),
    }  # fmt: skip
    assert 'correction "ebb at noon"' in shell("traces", "show", trace).out
    listed = shell.json("feedback", "list", "--trace", trace, "--kind", "score")["items"]
    assert [each["value"] for each in listed] == [0.2]
    assert "helpful 0.2" in shell("feedback", "list", "--trace", trace).out
    span = next(each for each in server.get(f"/traces/{trace}")["spans"] if each["name"] == "answer")
    kept = shell.json("feedback", "add", trace, "--span", "answer", "--thumbs", "up")["items"][0]
    assert kept["span"] == span["id"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"kind": "thumbs", "value": "sideways"}, 400, "up or down"),
        ({"kind": "score", "value": "good", "name": "n"}, 400, "a finite number"),
        ({"kind": "score", "value": True, "name": "n"}, 400, "a finite number"),
        ({"kind": "score", "value": 1}, 400, "score name ''"),
        ({"kind": "event"}, 400, "event name ''"),
        ({"kind": "correction", "value": "  "}, 400, "is text"),
        ({"kind": "correction", "value": "x" * 300_000}, 400, "too long"),
        ({"kind": "comment", "value": "\ud800"}, 400, "UTF-8"),
        ({"kind": "praise", "value": "x"}, 400, "correction"),
        ({"kind": "thumbs", "value": "up", "id": "a b"}, 400, "id 'a b'"),
        ({"kind": "thumbs", "value": "up", "span": "nothing"}, 404, "has no span 'nothing'"),
        ({"kind": "thumbs", "value": "up", "trace": "0" * 32}, 404, "no trace 0000"),
        ({"kind": "thumbs", "value": "up", "trace": "husum"}, 400, "not a trace id"),
        ({"kind": "thumbs", "value": "up", "mood": "good"}, 400, "extra"),
    ],
)
def test_feedback_that_is_wrong_gets_one_clear_answer(server: Server, body: dict, status: int, said: str) -> None:
    trace = trace_of(ask(server, "wrong"))
    content = json.dumps({"trace": trace, **body})  # by hand, for a lone surrogate
    answer = server.http.post(f"{API}/feedback", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert server.get("/feedback", trace=trace)["items"] == []


def test_a_score_that_no_json_can_carry_is_refused(server: Server) -> None:
    trace = trace_of(ask(server, "nan"))
    for number in ("NaN", "Infinity", "1e999"):
        content = f'{{"trace": "{trace}", "kind": "score", "name": "n", "value": {number}}}'
        answer = server.http.post(f"{API}/feedback", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text


def test_of_a_batch_all_is_kept_or_nothing(server: Server) -> None:
    trace = trace_of(ask(server, "batch"))
    good = {"trace": trace, "kind": "thumbs", "value": "up"}
    for bad in ({**good, "trace": "f" * 32}, {**good, "value": "?"}, {**good, "id": "app-1"}):
        answer = server.http.post(f"{API}/feedback:batch", json={"items": [good, bad]})
        assert answer.status_code in {400, 404, 409}, answer.text
    assert server.get("/feedback", trace=trace)["items"] == []
    assert len(server.post("/feedback:batch", {"items": [good, {**good, "user": "bob"}]})["items"]) == 2


def test_an_applications_key_speaks_of_its_own_endpoint_only(server: Server) -> None:
    own, other = trace_of(ask(server, "own")), trace_of(ask(server, "other", endpoint="other"))
    key = server.post("/keys", {"endpoints": ["live"]})["key"]
    headers = {"authorization": f"Bearer {key}"}

    def say(trace: str) -> int:
        body = {"trace": trace, "kind": "thumbs", "value": "up"}
        return server.http.post(f"{API}/feedback", json=body, headers=headers).status_code

    assert (say(own), say(other), say("f" * 32), say(own[:12])) == (201, 404, 404, 400)
    assert server.http.get(f"{API}/feedback", headers=headers).status_code == 403
    assert server.get("/feedback", trace=own)["items"][0]["source"].startswith("key/")
    viewer = {"authorization": f"Bearer {server.post('/keys', {'role': 'viewer'})['key']}"}
    refused = server.http.post(f"{API}/feedback", json={"trace": own, "kind": "thumbs", "value": "up"}, headers=viewer)
    assert refused.status_code == 403


def test_samples_and_pairs_are_made_of_traces_and_evaluated(server: Server, shell: Shell) -> None:
    traces = [trace_of(ask(server, f"Sylt {number % 4}", user=f"u{number}")) for number in range(6)]
    say = [
        (0, "thumbs", "down"), (0, "correction", "flood at Sylt 0"), (1, "thumbs", "up"), (2, "thumbs", "down"),
        (4, "correction", "not so at Sylt 0"),
    ]  # fmt: skip
    for number, kind, value in say:
        server.post("/feedback", {"trace": traces[number], "kind": kind, "value": value})
    only = ("--q", "Sylt", "--since", "1h", "--filter", "endpoint=live")
    shown = [*map(str.strip, shell("data", "from-traces", "--to", "dataset/sylt", "--print", *only).out.splitlines())]
    assert len(shown) == 4
    shell("data", "show", "dataset/sylt").refused(3, "there is no dataset/sylt")  # printing keeps nothing
    made = shell.json("data", "from-traces", "--to", "dataset/sylt", *only)
    assert {name: made[name] for name in ("dataset", "rows", "added", "traces", "joined")} == {
        "dataset": "dataset/sylt@v1", "rows": 4, "added": 4, "traces": 6, "joined": 2,
    }  # fmt: skip
    rows = {each["input"]: each["row"] for each in server.get("/datasets/sylt/samples")["items"]}
    assert {name: each["reference"] for name, each in rows.items()} == {
        "Sylt 0": "not so at Sylt 0", "Sylt 1": "ebb at Sylt 1", "Sylt 2": None, "Sylt 3": None,
    }  # fmt: skip
    assert set(rows["Sylt 0"]["traces"]) == {traces[0], traces[4]}
    assert len(rows["Sylt 0"]["feedback"]) == 3
    assert shell.json("data", "from-traces", "--to", "dataset/sylt", *only)["added"] == 0
    evaluation = shell.json("eval", "chain/tide", "--data", "dataset/sylt", "--scorer", "exact_match")
    assert evaluation["samples"] == 4
    more = shell.json("data", "from-traces", "--to", "dataset/sylt", *only)
    assert (more["dataset"], more["traces"], more["known"]) == ("dataset/sylt@v1", 6, 4)  # an evaluation is no traffic
    pairs = shell.json("data", "from-traces", "--to", "dataset/pairs", "--pairs", *only)
    assert (pairs["added"], pairs["skipped"]) == (1, {"no thumbs down with a correction": 3})
    (pair,) = server.get("/datasets/pairs/samples")["items"]
    assert [pair["row"][name] for name in ("prompt", "chosen", "rejected")] == ["Sylt 0", "flood at Sylt 0", "ebb at Sylt 0"]
    shell("data", "from-traces", "--to", "dataset/sylt", "--pairs").refused(6, "holds samples")
    for name, body, status in (
        ("pairs", {}, 409), ("x", {"filter": "mood=good"}, 400), ("x", {"since": "lately"}, 400), ("x", {"limit": 0}, 400),
        ("X", {}, 400), ("x", {"since": "99999999d"}, 400),
    ):  # fmt: skip
        assert server.http.post(f"{API}/datasets/{name}:from-traces", json=body).status_code == status, body


def test_rows_are_appended_by_the_api(server: Server) -> None:
    made = server.post("/datasets/hand/samples", {"rows": [{"input": "a"}, {"input": "b"}]})
    assert (made["dataset"], made["added"]) == ("dataset/hand@v1", 2)
    more = server.post("/datasets/hand/samples", {"rows": [{"input": "b"}, {"input": "c", "reference": "C"}]})
    assert (more["dataset"], more["added"], more["known"], more["rows"]) == ("dataset/hand@v2", 1, 1, 3)
    assert [each["input"] for each in server.get("/datasets/hand/samples")["items"]] == ["a", "b", "c"]
    for rows in ([], [{"input": 7}], [{"question": "x"}], [7]):
        assert server.http.post(f"{API}/datasets/hand/samples", json={"rows": rows}).status_code == 400
    assert server.get("/artifacts/dataset/hand")["version"] == "v2"


def test_a_canary_from_start_to_promotion_and_back(server: Server, shell: Shell) -> None:
    stable = server.get("/endpoints/live")["release"]
    shell.write(app=answering("tide", 'reply: "flood at {{input}}"'))
    shell.json("apply")
    started = shell.json("rollout", "start", "endpoint/live", "--to", "chain/tide", "--share", "40%")
    canary = started["canary"]["release"]
    assert (started["share"], started["steps"], started["stable"]["release"]) == (40, [{"share": 40}], stable)
    for number in range(40):
        answer = ask(server, "?", user=f"u{number % 20}", stream=number % 2 == 0)
        word = {"canary": "flood", "stable": "ebb"}[answer.headers["x-tidemill-variant"]]
        assert word in answer.text
        body = {"trace": trace_of(answer), "kind": "thumbs", "value": "up" if word == "flood" else "down"}
        server.post("/feedback", body)
    shell("deploy", "chain/tide", "--to", "endpoint/live").refused(6, "a rollout of", "tidemill rollout promote|abort")
    shell("rollout", "start", "endpoint/live", "--to", "chain/tide", "--share", "5").refused(6, "runs at endpoint/live already")
    found = shell.json("rollout", "status", "endpoint/live")
    variants, differences = found["variants"], found["differences"]
    assert sum(each["requests"] for each in variants.values()) == 40
    assert sum(each["users"] for each in variants.values()) == 20
    assert variants["canary"]["feedback"]["thumbs_up"]["value"] == 1
    assert variants["stable"]["latency_ms"]["p50"]["interval"][0] <= variants["stable"]["latency_ms"]["p50"]["value"]
    assert differences["thumbs_up"]["verdict"] == "better"
    assert differences["error_share"]["verdict"] == "undecided"
    assert len(server.get("/traces", filter="tidemill.variant=canary")["items"]) == variants["canary"]["requests"]
    screen = shell("rollout", "status", "endpoint/live").out
    assert "at 40 %   step 1 of 1" in screen
    assert "thumbs up" in screen
    promoted = shell.json("rollout", "promote", "endpoint/live", "--why", "liked")
    assert (promoted["status"], server.get("/endpoints/live")["release"]) == ("promoted", canary)
    assert "x-tidemill-variant" not in ask(server, "?").headers
    assert shell.json("rollback", "endpoint/live")["release"] == stable
    assert "ebb" in ask(server, "?").text


def test_what_cannot_be_tried_is_refused(server: Server, shell: Shell) -> None:
    def start(**change: object) -> tuple[int, str]:
        answer = server.http.post(f"{API}/rollouts", json={"endpoint": "other", "app": "chain/tide", "share": 5, **change})
        return answer.status_code, answer.json()["code"]

    for share in (101, -1, "101%", "ten", "nan", "1e9", "", None, [5]):
        assert start(share=share) == (400, "invalid"), share
    assert start(endpoint="nowhere") == (404, "not_found")
    assert start(app="chain/tode") == (404, "not_found")
    assert start(endpoint="chain/other") == (400, "invalid")
    assert server.get("/endpoints/other")["rollout"] is None
    shell("rollout", "start", "endpoint/other", "--to", "chain/tide", "--share", "101%").refused(2, "a share of 101 %")
    shell("rollout", "status", "endpoint/other").refused(3, "no rollout at 'other'")
    shell("rollout", "promote", "endpoint/live").refused(6, "was promoted already")


def test_a_kill_loses_neither_feedback_nor_the_rollout(folder: Path) -> None:
    server = Server(folder)
    server.shell.write(app=answering("tide", "reply: ebb"))
    server.shell.json("apply")
    server.post("/endpoints/live:deploy", {"app": "chain/tide"})
    server.shell.write(app=answering("tide", "reply: flood"))
    server.shell.json("apply")
    started = server.post("/rollouts", {"endpoint": "live", "app": "chain/tide", "share": "50%"})
    before = {f"u{number}": ask(server, "?", user=f"u{number}").headers["x-tidemill-variant"] for number in range(16)}
    traces = [trace_of(ask(server, "?", user=f"u{number}")) for number in range(5)]
    kept = [server.post("/feedback", {"trace": each, "kind": "comment", "value": f"of {each}"})["id"] for each in traces]
    server.kill()
    with served(folder) as again:
        assert {each["id"] for each in again.get("/feedback")["items"]} == set(kept)
        assert again.get("/rollouts/live")["id"] == started["id"]
        assert {name: ask(again, "?", user=name).headers["x-tidemill-variant"] for name in before} == before
        ended = again.post("/rollouts/live:abort", {"why": "enough"})
        assert (ended["status"], ended["why"]) == ("aborted", "enough")
        assert "ebb" in ask(again, "?", user=next(name for name, variant in before.items() if variant == "canary")).text
