"""Answers that are deep are described to their leaves; the client of these tests holds each one to the document."""

from __future__ import annotations

import pytest

from api.described import document
from api.house import FILES, House, Project
from tidemill.api.shapes.table import ANSWERS

CHANGED = FILES["a.yaml"].replace("Question: ", "Please: ").replace("the sun", "the stars").replace('"the moon"', "stars")


@pytest.fixture(scope="module")
def worked(house: House) -> Project:
    """A project in which everything was done once, and changed once."""
    project = house.project()
    project.apply()
    project.finish(project.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions"})["job"])
    project.post("/endpoints/tide:deploy", {"app": "chain/tide"})
    project.post("/runs", {"app": "chain/tide", "inputs": {"question": "?"}})
    project.apply(a=CHANGED)
    project.post("/releases", {"root": "chain/tide"})
    project.apply(p="kind: prompt\nname: gone\ntext: hello")
    project("DELETE", "/artifacts/prompt/gone")
    return project


@pytest.mark.parametrize(
    "path",
    [
        "/lineage?of=prompt/ask", "/lineage?of=prompt/ask&by=artifact", "/lineage?of=endpoint/tide&direction=up&kinds=model",
        "/lineage/impact?of=prompt/ask", "/lineage/impact?of=dataset/questions",
        "/lineage/path?from=prompt/ask&to=endpoint/tide",
        "/lineage/path?from=endpoint/tide&to=gate/good", "/lineage/openlineage", "/maturity",
        "/evidence/cards?release=chain/tide", "/evidence/bom?release=chain/tide", "/evidence/cards?release=endpoint/tide",
        "/artifacts/prompt/ask/history", "/artifacts/dataset/questions/history", "/artifacts/gate/good/history",
        "/prompts/ask/blame", "/artifacts/prompt/ask/diff/v1", "/artifacts/dataset/questions/diff/v1",
        "/artifacts/chain/tide/diff/v1?deep=true", "/artifacts/model/said/diff/v1", "/artifacts?deleted=true",
    ],
)  # fmt: skip
def test_deep_answers_are_as_described(worked: Project, path: str) -> None:
    assert worked.get(path)


@pytest.mark.parametrize(
    "body",
    [{"since": "1h"}, {"a": "chain/tide@v1", "b": "chain/tide"}, {"a": "chain/tide@v1", "b": "chain/tide", "deep": True}],
)
def test_differences_are_as_described(worked: Project, body: dict[str, object]) -> None:
    assert worked.post("/diff", body)["changes"] or "a" in body


def test_every_level_of_an_answer_is_held_to_its_shape() -> None:
    """No answer is any object, but for those whose form is another's: a catalogue's entry, a user's row."""
    loose = {route for route, each in ANSWERS.items() if each.shape is None and each.media is None}
    assert loose == {
        "GET /evaluations/{evaluation}/samples", "GET /models", "GET /models/{name}",
        "POST /pull", "POST /pull:written", "GET /api/v1/database", "POST /import", "GET /artifacts/{kind}/{name}/moves",
    }  # fmt: skip
    schemas = document()["components"]["schemas"]
    assert schemas["Lineage"]["properties"]["nodes"]["items"]["$ref"].endswith("/LineageNode")
