"""`tidemill routes`, on a server that answers by one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROUTE = """
kind: route
name: answers
targets: [model/down, {model: model/up, weight: 2}]
breaker: {failures: 1, pause: 1m}
---
{kind: model, name: down, provider: test, script: [{status: 503}]}
---
{kind: model, name: up, provider: test, reply: "up says {{input}}"}
---
kind: chain
name: ask
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: route/answers, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
---
{kind: prompt, name: ask, text: "{{question}}"}
"""


@pytest.fixture
def project(tidemill, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "all.yaml").write_text(ROUTE, "utf-8")
    assert tidemill("apply", "--yes").code == 0
    return tmp_path


def test_a_list_names_the_targets(tidemill, project):
    assert "route/answers@v1   ordered    model/down, model/up" in tidemill("routes", "list").out
    assert json.loads(tidemill("routes", "list", "--json").out)["items"][0]["targets"] == ["model/down", "model/up"]


def test_without_a_route_it_says_how_to_make_one(tidemill, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "kind route" in tidemill("routes", "list").out


def test_a_chain_is_answered_by_the_target_that_can_and_its_trace_says_why(tidemill, project):
    assert tidemill("run", "chain/ask", "--input", "question=hi").out.startswith("up says hi")
    found = json.loads(tidemill("traces", "list", "--limit", "1", "--json").out)["items"][0]
    spans = json.loads(tidemill("traces", "show", found["id"], "--json").out)["spans"]
    attempts = [each for each in spans if "tidemill.attempt" in each["attributes"]]
    assert [(each["name"], each["status"]) for each in attempts] == [("model/down", "error"), ("model/up", "ok")]
    assert attempts[0]["attributes"]["tidemill.failure"] == "overloaded"
    assert attempts[1]["attributes"]["tidemill.route.why"] == "after overloaded"


def test_what_is_shown_has_each_target(tidemill, project):
    shown = tidemill("routes", "show", "answers")
    assert shown.code == 0
    assert "model/down   closed" in shown.out
    targets = json.loads(tidemill("routes", "show", "route/answers", "--json").out)["targets"]
    assert [(each["model"], each["weight"], each["attempts"]) for each in targets] == [("model/down", 1, 0), ("model/up", 2, 0)]


def test_a_route_that_is_not_there(tidemill, project):
    ended = tidemill("routes", "show", "answer")
    assert ended.code == 3
    assert "Did you mean route/answers?" in ended.err


def test_a_mistake_names_its_line(tidemill, project):
    (project / "tidemill" / "all.yaml").write_text(
        ROUTE.replace("model/down,", "{model: model/down, when: 'lenght > 1'},"), "utf-8"
    )
    ended = tidemill("apply", "--yes")
    assert ended.code == 2
    assert "tidemill/all.yaml:4" in ended.err
    assert "Did you mean length?" in ended.err


def test_a_release_locks_the_route_and_its_models(tidemill, project):
    lock = json.loads(tidemill("release", "chain/ask", "--json").out)["lock"]
    assert {"chain/ask", "prompt/ask", "route/answers", "model/down", "model/up"} == set(lock["artifacts"])
