"""The document describes every route, and every answer in these tests is held to it (see `described.py`)."""

from __future__ import annotations

import re

import pytest

from api.described import document
from api.house import House, Project
from tidemill.api.shapes.table import ANSWERS

OPERATIONS = {f"{method.upper()} {path}": each for path, item in document()["paths"].items() for method, each in item.items()}
PREFIX = "/api/v1/projects/{project}"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_route_says_what_it_takes_and_answers(operation: str) -> None:
    described = OPERATIONS[operation]
    success = next(each for status, each in described["responses"].items() if status.startswith("2"))
    assert operation.replace(PREFIX, "") in ANSWERS or "content" not in success or "$ref" in str(success["content"])
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", described["operationId"])
    assert described["description"], "a docstring says what it does"
    assert {"400", "401", "403", "404", "429", "503"} <= described["responses"].keys()
    assert described["tags"]


def test_ids_are_unique_and_no_line_is_left_over() -> None:
    ids = [each["operationId"] for each in OPERATIONS.values()]
    assert len(ids) == len(set(ids))
    assert ANSWERS.keys() <= {each.replace(PREFIX, "") for each in OPERATIONS}


def test_tags_schemes_and_problems_are_described() -> None:
    assert all(each["description"] for each in document()["tags"])
    assert document()["components"]["securitySchemes"].keys() == {"bearer", "key", "cookie"}
    problem = document()["components"]["schemas"]["Problem"]
    assert {"type", "status", "code", "title", "detail", "hint", "instance"} == set(problem["required"])


def test_the_page_for_people_needs_nothing_from_elsewhere(house: House) -> None:
    page = house.http.get("/docs")
    assert page.status_code == 200
    assert "artifacts_versions_get" in page.text
    assert not re.search(r"(src|href)=[\"']?https?:", page.text)
    assert "<script" not in page.text
    with house.client(None) as stranger:
        assert stranger.get("/docs").status_code == 401


def test_answers_are_as_described(house: House, filled: Project) -> None:
    """A walk through most of the nouns; the client checks each answer."""
    started = filled.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions", "scorers": ["exact_match"]})
    filled.finish(started["job"])
    filled.post("/endpoints/tide:deploy", {"app": "chain/tide"})
    filled.post("/runs", {"app": "chain/tide", "inputs": {"question": "?"}})
    (trace, *_) = filled.get("/traces")["items"]
    for path in ("/traces/" + trace["id"], "/runs/" + trace["id"]):
        filled.get(path)
    filled.post("/feedback", {"trace": trace["id"], "kind": "thumbs", "value": "up"})
    filled.post("/feedback:batch", {"items": [{"trace": trace["id"], "kind": "comment", "value": "good"}]})
    filled.post("/spans:search", {"text": "moon"})
    filled.post("/datasets/said:from-traces", {})
    filled.post("/datasets/questions/samples", {"rows": [{"question": "d", "answer": "e"}]})
    evaluation = started["evaluation"]
    filled.post("/gates/good:check", {"evaluation": evaluation})
    filled.post("/comparisons", {"a": evaluation, "b": evaluation})
    filled.get(f"/evaluations/{evaluation}/samples")
    filled.apply(a="kind: prompt\nname: ask\nmessages: [{role: user, content: 'Answer: {{question}}'}]\n---\n"
                   "kind: chain\nname: tide\ninputs: {question: string}\n"
                   "steps: [{id: answer, prompt: prompt/ask, model: model/said, with: {question: '{{question}}'}}]\n"
                   "output: '{{answer.text}}'")  # fmt: skip
    rollout = filled.post("/rollouts", {"endpoint": "endpoint/tide", "app": "chain/tide", "share": 50})
    filled.get(f"/rollouts/{rollout['id']}")
    filled.post(f"/rollouts/{rollout['id']}:abort", {"why": "enough"})
    key = filled.post("/keys", {"role": "reviewer", "person": "ana"})
    with house.client(key["key"]) as ana:
        given = ana.post(filled.base + "/approvals", json={"release": "chain/tide", "reason": "read it"})
        assert given.status_code == 201, given.text
    filled("DELETE", f"/approvals/{given.json()['id']}", json={"why": "too early"})
    filled.apply(p="{kind: policy, name: careful, protects: [endpoint/tide], require: ['approvals.size() > 0']}")
    filled.post("/policies:check", {"app": "chain/tide", "target": "endpoint/tide"})
    filled.apply(q="kind: pipeline\nname: one\nsteps: [{id: release, release: chain/tide}]")
    filled.post("/pipelines/one:run", {})
    for path, item in document()["paths"].items():
        if (
            "get" in item
            and "{" not in path.replace(PREFIX, "")
            and not path.endswith(("/bom", "/cards", "/impact", "/path", "/lineage", ":tail"))
        ):
            answer = house.http.get(path.replace("{project}", filled.name))
            assert answer.status_code == 200, (path, answer.text)
