"""A comparison of models on a server: durable, re-used, and open to every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.processes import Server, served
from e2e.specs import write_tides

TWO = """
kind: model
name: slow
provider: test
reply: "it is the moon that does it"
tokens_per_second: 20
---
kind: model
name: other
provider: test
reply: nothing
---
kind: embedder
name: others
provider: test
dimensions: 8
"""


@pytest.fixture
def project(folder: Path) -> Path:
    write_tides(folder)
    (folder / "tidemill" / "two.yaml").write_text(TWO, "utf-8")
    return folder


def test_a_comparison_goes_on_after_a_kill_and_does_nothing_twice(project: Path) -> None:
    server = Server(project)
    server.shell.json("apply", "--yes")
    body = {"data": "dataset/questions", "models": ["model/slow", "model/other"], "scorers": ["contains"], "at_once": 1}
    started = server.post("/models:compare", body)
    assert [(each["candidate"], each["runs"]) for each in started["estimate"]] == [
        ("model/slow@v1", 12),
        ("model/other@v1", 12),
    ]
    server.wait_for_job(started["job"], done=2)
    server.kill()
    with served(project) as again:
        ended = again.wait_for_job(started["job"])
        assert ended["status"] == "done", ended
        slow, other = ended["result"]["items"]
        assert [each["metrics"]["contains"]["mean"] for each in (slow, other)] == [1.0, 0.0]
        assert [each["metrics"]["contains"]["n"] for each in (slow, other)] == [12, 12]
        assert slow["evaluation"] == started["evaluations"]["model/slow@v1"]
        repeated = again.post("/models:compare", {**body, "estimate": True})
        assert [(each["runs"], each["reused"]) for each in repeated["estimate"]] == [(0, 12), (0, 12)]
        assert repeated["job"] is None


def test_models_are_compared_in_an_app_and_embedders_under_an_index(project: Path) -> None:
    with served(project) as server:
        shell = server.shell
        shell.json("apply", "--yes")
        in_app = shell.json(
            "models", "compare", "model/right", "model/other", "--data", "dataset/questions", "--app", "chain/app", "--scorer",
            "contains",
        )  # fmt: skip
        assert {each["candidate"]: each["metrics"]["contains"]["mean"] for each in in_app["items"]} == {
            "model/right@v1": 1.0, "model/other@v1": 0.0,
        }  # fmt: skip
        assert next(each["mark"] for each in in_app["items"]) == "front"
        before = shell.json("get", "index")
        found = shell.json(
            "models", "compare", "--embedders", "embedder/words", "embedder/others", "--index", "index/docs", "--data",
            "dataset/questions",
        )  # fmt: skip
        assert [each["candidate"] for each in found["items"]] == ["embedder/words@v1", "embedder/others@v1"]
        assert found["metrics"] == ["recall_at_k", "ndcg_at_k", "mrr"]
        assert all(each["metrics"]["recall_at_k"]["mean"] == 1.0 for each in found["items"]), "ten of a handful of chunks"
        assert shell.json("get", "index") == before, "nothing was registered"
        refused = shell("models", "compare", "--embedders", "embedder/words", "embedder/others", "--data", "dataset/questions")
        refused.refused(2, "--index")


def test_the_routes_answer_as_they_promise(project: Path) -> None:
    with served(project) as server:
        server.shell.json("apply", "--yes")
        found = server.get("/models", q="claude sonnet", feature=["tools"], limit=2)
        assert len(found["items"]) == 2
        assert found["next"], "a cursor says where to go on, and nothing else"
        following = server.get("/models", q="claude sonnet", feature=["tools"], limit=2, cursor=found["next"])
        assert following["items"][0]["name"] not in {each["name"] for each in found["items"]}
        assert server.get("/models/anthropic/claude-sonnet-4.5")["maker"] == "anthropic"
        assert server.get("/models/model/right")["spec"]["provider"] == "test"
        for path, status, said in (
            ("/models?cursor=x", 400, "cursor"),
            ("/models?max_price=nan", 400, "max_price"),
            ("/models?colour=red", 400, "colour"),
            ("/models/no-such-model", 404, "no model"),
        ):
            answer = server.http.get(server.api + path)
            assert (answer.status_code, said in answer.text) == (status, True), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
