"""Erasing traces through the API: nothing of them is left in any door, nor in any byte of the data folder."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import httpx
import pytest

from api.house import House, Project

SECRET = "zqxsecretword"
KEY = f"payloadword{SECRET}"


def otlp(
    trace: str,
    span: str,
    *,
    start_ns: int,
    parent: str = "",
    user: str = "",
    session: str = "",
    text: str = "",
    output: str = "",
) -> Any:
    """A span as an SDK would send it in JSON."""
    attributes = [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m"), ("input.value", text)]
    attributes += [("output.value", output)] if output else []
    attributes += [("user.id", user)] if user else []
    attributes += [("session.id", session)] if session else []
    return {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent,
        "name": "ask",
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 10**9),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes],
    }


def send(project: Project, *spans: Any) -> None:
    body = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}]}
    headers = {"x-tidemill-project": project.name, "authorization": f"Bearer {project.house.token}"}
    with httpx.Client(trust_env=False, timeout=60) as client:  # the document of the control plane does not describe OTLP
        answer = client.post(f"{project.house.url}/v1/traces", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def post_otlp(project: Project, signal: str, body: Any) -> None:
    headers = {"x-tidemill-project": project.name, "authorization": f"Bearer {project.house.token}"}
    with httpx.Client(trust_env=False, timeout=60) as client:  # the same
        answer = client.post(f"{project.house.url}/v1/{signal}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def said_in_a_log(trace: str, span: str, *, at_ns: int, text: str) -> Any:
    record = {
        "timeUnixNano": str(at_ns), "traceId": trace, "spanId": span, "eventName": "gen_ai.user.message",
        "body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": text}}]}},
    }  # fmt: skip
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {"name": "t"}, "logRecords": [record]}]}]}


def measured(user: str, *, at_ns: int) -> Any:
    point = {
        "timeUnixNano": str(at_ns), "startTimeUnixNano": str(at_ns - 10**9), "asInt": "7",
        "attributes": [{"key": "user.id", "value": {"stringValue": user}}],
    }  # fmt: skip
    metric = {
        "name": "gen_ai.client.requests",
        "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point]},
    }
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {"name": "t"}, "metrics": [metric]}]}]}


def holding(house: House, word: str) -> list[str]:
    """The files of the data folder with this word in them, as it is."""
    found = subprocess.run(["grep", "-rlaF", word, str(house.data)], capture_output=True, text=True, check=False)
    return found.stdout.split()


@pytest.fixture
def watched(project: Project) -> Project:
    project.apply()
    now = time.time_ns() - 60 * 10**9
    large = f"{KEY} " * 5000
    send(
        project,
        otlp("a" * 32, "1" * 16, start_ns=now, user="ada", session="s1", text=f"{SECRET} one"),
        otlp("a" * 32, "2" * 16, start_ns=now + 10, parent="1" * 16, text=f"{SECRET} child"),
        otlp("b" * 32, "3" * 16, start_ns=now + 20, user="bob", session="s2", text="nothing to hide"),
        otlp("c" * 32, "4" * 16, start_ns=now + 30, user="ada", session="s3", text=large),
    )
    return project


def test_a_user_is_gone_everywhere_and_stays_gone(house: House, watched: Project) -> None:
    project = watched
    assert len(project.get("/traces")["items"]) == 3
    project.post("/feedback", {"trace": "a" * 32, "kind": "comment", "value": f"{SECRET} said", "user": "ada"})
    whole = project.get(f"/traces/{'c' * 32}/spans/{'4' * 16}/payload")
    assert whole["apart"]
    assert str(whole["value"]).count(KEY) == 5000
    assert holding(house, SECRET)

    begun = project.post("/traces:erase", {"user": "ada", "why": "asked for by the person"})
    job = project.finish(begun["job"])
    assert job["result"]["traces"] == 2
    assert job["result"]["spans"] == 3
    assert job["result"]["payloads"] == 1
    assert job["result"]["left_on_disk"] == 0

    assert [each["id"] for each in project.get("/traces")["items"]] == ["b" * 32]
    assert project.raw("GET", f"/traces/{'a' * 32}").status_code == 404
    assert project.post("/spans:search", {"text": SECRET})["items"] == []
    assert project.get("/feedback")["items"] == []
    assert holding(house, SECRET) == []

    lines = [each for each in project.get("/audit")["items"] if each["action"].startswith("traces.erase")]
    assert len(lines) == 2
    assert "ada" not in str(lines)

    past = time.time_ns() - 60 * 10**9
    send(project, otlp("a" * 32, "1" * 16, start_ns=past, user="ada", text=f"{SECRET} one"))
    send(project, otlp("a" * 32, "2" * 16, start_ns=past, parent="1" * 16, text=f"{SECRET} child"))
    send(project, otlp("d" * 32, "5" * 16, start_ns=time.time_ns(), user="ada", text="back again"))
    assert {each["id"] for each in project.get("/traces")["items"]} == {"b" * 32, "d" * 32}


def test_every_place_that_holds_a_word_of_a_user_loses_it_and_others_keep_theirs(house: House, project: Project) -> None:
    project.apply(all="{kind: embedder, name: words, provider: test}")
    word, user, shared = "qqvertraulich", "zzadauser", "both of them asked the very same thing"
    now = time.time_ns() - 60 * 10**9
    mine, bobs = ("1a" * 16, "2a" * 16), "3b" * 16
    send(
        project,
        otlp(mine[0], "1" * 16, start_ns=now, user=user, session="s", text=f"what is {word}?", output=f"{word} it is"),
        otlp(mine[1], "2" * 16, start_ns=now + 1, user=user, text=shared, output="so it is"),
        otlp(bobs, "3" * 16, start_ns=now + 2, user="bob", text=shared, output="so it is"),
    )
    post_otlp(project, "logs", said_in_a_log(mine[0], "1" * 16, at_ns=now + 5, text=f"{word} in a log"))
    post_otlp(project, "metrics", measured(user, at_ns=now))
    project.post(f"/traces/{mine[0]}/scores", {"items": [{"name": "tone", "text": f"{word} is rude"}]})
    said = {"trace": mine[0], "kind": "comment", "value": f"{word} said", "user": user}
    project("POST", "/feedback", json=said, headers={"idempotency-key": f"k-{project.name}"})
    about = {"text": "asked", "mode": "semantic", "embedder": "embedder/words"}
    assert project.post("/spans:search", about)["covered"] >= 2
    made = project.post("/datasets/derived:from-traces", {"filter": "model = m"})
    assert (made["added"], made["traces"], made["joined"]) == (2, 3, 1)
    project.post("/datasets/derived:from-traces", {"filter": 'user = "bob"'})
    assert holding(house, word)

    job = project.finish(project.post("/traces:erase", {"user": user, "why": "asked for"})["job"])
    assert job["result"]["traces"] == 2
    assert job["result"]["samples"] == 2
    assert job["result"]["left_on_disk"] == 0
    assert holding(house, word) == []
    assert holding(house, user) == []
    assert [each["id"] for each in project.get("/traces")["items"]] == [bobs]
    assert shared in str(project.get(f"/traces/{bobs}"))
    assert project.post("/spans:search", {"text": word})["items"] == []
    again = project.post("/spans:search", about)
    assert [each["id"] for each in again["items"]] == [bobs]


def test_one_trace_and_one_session(watched: Project) -> None:
    project = watched
    project.finish(project.post("/traces:erase", {"trace": "b" * 32, "why": "a test"})["job"])
    project.finish(project.post("/traces:erase", {"session": "s3", "why": "a test"})["job"])
    assert [each["id"] for each in project.get("/traces")["items"]] == ["a" * 32]


@pytest.mark.parametrize(
    "body", [{"why": "x"}, {"user": "a", "trace": "b", "why": "x"}, {"user": "a"}, {"user": "", "why": "x"}]
)
def test_what_is_not_said_whole_is_refused(project: Project, body: Any) -> None:
    assert project.raw("POST", "/traces:erase", json=body).status_code in {400, 422}


def test_only_who_administers_may(house: House, watched: Project) -> None:
    key = watched.post("/keys", {"role": "developer"})["key"]
    with house.client(key) as client:
        answer = client.post(f"{watched.base}/traces:erase", json={"user": "ada", "why": "x"})
    assert answer.status_code == 403


def test_what_is_said_of_a_trace_follows_the_rules_too(project: Project) -> None:
    project.apply(rules="{kind: telemetry, name: default, users: hash, redact: [{pattern: email}]}")
    send(project, otlp("e" * 32, "1" * 16, start_ns=time.time_ns(), user="ada", text="hello ada@example.com"))
    said = project.post("/feedback", {"trace": "e" * 32, "kind": "comment", "value": "ask ada@example.com", "user": "ada"})
    trace = project.get(f"/traces/{'e' * 32}")
    assert said["value"] == "ask [email]"
    assert said["user"] == trace["user"] != "ada"
    assert "ada@example.com" not in str(trace)
    assert project.get("/telemetry")["users"] == "hash"


KEPT = """
kind: model
name: kept
provider: test
reply: you asked {{input}}
cache: on
"""


def test_kept_answers_go_with_their_user(house: House, watched: Project) -> None:
    project = watched
    project.apply(kept=KEPT)

    def ask(user: str) -> str:
        headers = {"x-tidemill-project": project.name, "authorization": f"Bearer {house.token}", "x-tidemill-user": user}
        body = {"model": "model/kept", "messages": [{"role": "user", "content": "what of zqxkeptword?"}]}
        with httpx.Client(trust_env=False, timeout=60) as client:
            answer = client.post(f"{house.url}/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-tidemill-cache"]

    assert [ask(user) for user in ("cleo", "dan", "cleo")] == ["miss", "miss", "hit"]
    begun = project.post("/traces:erase", {"user": "cleo", "why": "asked for by the person"})
    assert project.finish(begun["job"])["result"]["cached_answers"] == 1
    assert [ask(user) for user in ("dan", "cleo")] == ["hit", "miss"]
