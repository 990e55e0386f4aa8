"""`tidemill cache measure`, over a dataset and over recorded traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ALL = """
kind: embedder
name: words
provider: test
---
kind: dataset
name: questions
rows:
  - {question: high water in cuxhaven, intent: tide}
  - {question: high water in cuxhaven today, intent: tide}
  - {question: high water in husum, intent: other}
  - {question: open on sunday, intent: hours}
roles: {input: question, reference: intent}
---
{kind: model, name: echo, provider: test, reply: "{{input}} is at three"}
"""


@pytest.fixture
def project(tidemill, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "all.yaml").write_text(ALL, "utf-8")
    assert tidemill("apply", "--yes").code == 0
    return tmp_path


def measured(answer):
    assert answer.code == 0, answer.err
    return {each["threshold"]: each for each in json.loads(answer.out)["items"]}


def test_hits_and_false_ones_are_counted_by_a_column(tidemill, project):
    asked = ("cache", "measure", "dataset/questions", "--embedder", "embedder/words", "--threshold", "0.5", "0.8", "1")
    found = measured(tidemill(*asked, "--json"))
    assert [(each["questions"], each["hits"], each["false_hits"]) for each in found.values()] == [
        (4, 2, 1),
        (4, 1, 0),
        (4, 0, 0),
    ]
    assert found[0.5]["false_rate"] == 0.5
    shown = tidemill(*asked).out
    assert "4 questions" in shown
    assert "50.0%" in shown


def test_without_a_dataset_recorded_traces_are_played_through(tidemill, project):
    for question in ("high water in cuxhaven", "high water in cuxhaven", "open on sunday"):
        assert tidemill("run", "model/echo", "--input", f"input={question}").code == 0
    found = measured(tidemill("cache", "measure", "--embedder", "embedder/words", "--threshold", "0.95", "--json"))
    assert (found[0.95]["questions"], found[0.95]["hits"], found[0.95]["false_hits"]) == (3, 1, 0)
    assert found[0.95]["saved"] is not None


def test_what_cannot_be_measured_says_what_to_do(tidemill, project):
    nothing = tidemill("cache", "measure", "--embedder", "embedder/words")
    assert (nothing.code, "too few" in nothing.err, "name a dataset" in nothing.err) == (2, True, True)
    beyond = tidemill("cache", "measure", "dataset/questions", "--embedder", "embedder/words", "--threshold", "2")
    assert (beyond.code, "2 is no cosine" in beyond.err) == (2, True)
    missing = tidemill("cache", "measure", "dataset/questions", "--embedder", "embedder/none")
    assert (missing.code, "embedder/none" in missing.err) == (3, True)
