"""Traces over HTTP: filters with references, scores, sessions, users, saved queries, search, export, tail, and bad input."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest

from api.house import House, Project

pytest.importorskip("chdb", reason="needs the extra analytics")


def ask(project: Project, text: str, *, user: str = "ana", session: str = "s1", tags: str = "env=prod") -> str:
    """Ask the endpoint as a caller does; the trace's id."""
    headers = {
        "x-tidemill-user": user,
        "x-tidemill-session": session,
        "x-tidemill-tags": tags,
        "x-tidemill-project": project.name,
    }
    body = {"model": "endpoint/tide", "messages": [{"role": "user", "content": text}]}
    headers["authorization"] = f"Bearer {project.house.token}"
    answer = httpx.post(f"{project.house.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.is_success
    return answer.headers["x-tidemill-trace"]


@pytest.fixture(scope="module")
def asked(house: House) -> tuple[Project, list[str]]:
    project = house.project()
    project.apply()
    project.post("/endpoints/tide:deploy", {"app": "chain/tide"})
    traces = [ask(project, "why?"), ask(project, "when?", tags="env=test"), ask(project, "who?", user="ben", session="s-2")]
    return project, traces


def ids(answer: Any) -> list[str]:
    return [each["id"] for each in answer["items"]]


def test_filters_resolve_references_and_saved_queries(asked: tuple[Project, list[str]]) -> None:
    project, traces = asked
    newest = traces[::-1]
    assert ids(project.get("/traces", params={"filter": "release = tide@latest"})) == newest
    assert ids(project.get("/traces", params={"filter": "release in (chain/tide@latest, x)"})) == newest
    project("GET", "/traces", params={"filter": "release = nothing@latest"}, status=404)
    assert ids(project.get("/traces", params={"filter": 'tag.env = "test"'})) == [traces[1]]
    assert ids(project.get("/traces", params={"from": "1h", "to": "2030-01-01", "order": "-latency"})) != []
    made = project("PUT", "/saved-queries/tests", json={"filter": "tag.env = test", "description": "not real"}, status=201)
    assert project("PUT", "/saved-queries/tests", json={"filter": "tag.env = test", "description": "not real"}) == made
    assert ids(project.get("/traces", params={"saved": "tests"})) == [traces[1]]
    assert ids(project.get("/traces", params={"saved": "tests", "filter": "user = ben"})) == []
    assert project.get("/saved-queries/tests") == made
    project("PUT", "/saved-queries/tests", json={"filter": "statsu = error"}, status=400)
    project("PUT", "/saved-queries/No Name", json={"filter": ""}, status=400)
    assert "saved_query.put" in {each["action"] for each in project.get("/audit")["items"]}
    project("DELETE", "/saved-queries/tests", status=204)
    project("GET", "/traces", params={"saved": "tests"}, status=404)


def test_scores_and_feedback_are_found(asked: tuple[Project, list[str]]) -> None:
    project, traces = asked
    project.post("/feedback", {"trace": traces[0], "kind": "thumbs", "value": "down", "user": "ana"})
    project.post("/feedback", {"trace": traces[0], "kind": "comment", "value": "it was late", "user": "ana"})
    assert ids(project.get("/traces", params={"filter": "feedback = down"})) == [traces[0]]
    assert ids(project.get("/traces", params={"filter": "feedback ~ late"})) == [traces[0]]
    project.post("/feedback", {"trace": traces[0], "kind": "thumbs", "value": "up", "user": "ana", "id": "second"})
    assert ids(project.get("/traces", params={"filter": "feedback = down"})) == []
    kept = project.post(f"/traces/{traces[1]}/scores", {"items": [{"name": "groundedness", "value": 0.25, "by": "nightly"}]})
    assert [(each["name"], each["value"], each["by"]) for each in kept["items"]] == [("groundedness", 0.25, "nightly")]
    assert ids(project.get("/traces", params={"filter": "score.groundedness < 0.5"})) == [traces[1]]
    shown = project.get(f"/traces/{traces[1]}")
    assert [each["name"] for each in shown["scores"]] == ["groundedness"]
    for wrong in (
        {"name": "g"},
        {"name": "g", "value": "x"},
        {"name": "a b", "value": 1},
        {"name": "g", "value": 1, "span": "x"},
    ):
        project("POST", f"/traces/{traces[1]}/scores", json={"items": [wrong]}, status=400)
    project("POST", f"/traces/{'0' * 31}1/scores", json={"items": [{"name": "g", "value": 1}]}, status=404)


def test_sessions_users_and_search(asked: tuple[Project, list[str]]) -> None:
    project, traces = asked
    assert [(each["id"], each["traces"]) for each in project.get("/sessions")["items"]] == [("s-2", 1), ("s1", 2)]
    assert ids(project.get("/sessions/s1")) == traces[:2]
    assert project.get("/sessions/s-2")["users"] == ["ben"]
    project("GET", "/sessions/nothing", status=404)
    assert [each["id"] for each in project.get("/trace-users", params={"filter": "tag.env = prod"})["items"]] == ["ben", "ana"]
    found = project.post("/spans:search", {"text": "moon", "filter": "user = ben and kind = llm"})["items"]
    assert [each["trace_id"] for each in found] == [traces[2]]
    project("POST", "/spans:search", json={}, status=400)


def test_export_and_tail(asked: tuple[Project, list[str]]) -> None:
    project, traces = asked
    lines = project.raw("GET", "/traces:export", params={"filter": "session = s1"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == traces[:2][::-1]
    otlp = project.raw("GET", "/traces:export", params={"format": "otlp"}).text.splitlines()
    assert all("resourceSpans" in json.loads(line) for line in otlp)
    assert project.raw("GET", "/traces:export", params={"format": "parquet"}).content[:4] == b"PAR1"
    project("GET", "/traces:export", params={"format": "csv"}, status=400)
    with project.house.http.stream("GET", f"{project.base}/traces:tail", params={"filter": "user = tailed"}) as answer:
        events = answer.iter_lines()
        assert next(events).startswith("retry")
        asking = threading.Thread(target=lambda: [ask(project, "now?", user="other"), ask(project, "now?", user="tailed")])
        asking.start()
        data = next(line for line in events if line.startswith("data: "))
        asking.join()
    assert json.loads(data[6:])["user"] == "tailed"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("filter=statsu%20%3D%20error", "Did you mean status?"), ("filter=" + "a" * 8001, "8,001 characters"),
        ("filter=latency%20>%202", "needs a unit"), ("filter=(a", "not closed"), ("filter=name%20%3D%20%00", "NUL"),
        ("cursor=x", "cursor"), ("order=cost", "order"), ("from=yesterday", "not a time"), ("limit=0", "limit"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_clear_answer(asked: tuple[Project, list[str]], query: str, said: str) -> None:
    project, _ = asked
    answer = project.raw("GET", f"/traces?{query}")
    assert answer.status_code == 400
    assert said in answer.text


def test_another_project_has_none_of_it(asked: tuple[Project, list[str]], house: House) -> None:
    _, traces = asked
    other = house.project()
    other.apply()
    assert other.get("/traces", params={"filter": f"trace = {traces[0]} or user = ana"})["items"] == []
    for path in (f"/traces/{traces[0]}", "/sessions/s1"):
        other("GET", path, status=404)
    other("POST", f"/traces/{traces[0]}/scores", json={"items": [{"name": "g", "value": 1}]}, status=404)
    assert other.raw("GET", "/traces:export").text == ""
