"""`make demo`, whole, with the deterministic model in place of the slow one: the same files, server, client and gates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from examples.handbook import demo

_MODEL = "provider: local\nmodel: smollm2-135m-instruct\nparams: {temperature: 0, max_tokens: 48, seed: 7}"
_EMBEDDER = "provider: local\nmodel: all-minilm-l6-v2"


def _rows() -> list[dict[str, object]]:
    text = (demo.HERE / "tidemill" / "questions.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def test_every_question_is_answered_by_its_topic() -> None:
    rows = _rows()
    assert len(rows) >= 60
    assert len({row["question"] for row in rows}) == len(rows)
    if rows[0]["topic"] not in topics:
        pytest.skip("this Python ships no reference manual")
    for row in rows:
        for topic in row["gold"][0]:  # type: ignore[index]
            assert topic in topics, f"{row['id']}: {topic} is not a topic of this Python"
        assert _words(str(row["answer"])) in _words(topics[str(row["topic"])]), row["id"]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / ".demo" / "handbook"
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "WORK", work)
    monkeypatch.setattr(demo, "SPEC", work / "tidemill" / "handbook.yaml")
    copy = demo.copy_project

    def copy_quick() -> None:
        copy()
        text = demo.SPEC.read_text("utf-8")
        assert _MODEL in text
        assert _EMBEDDER in text
        text = text.replace(_MODEL, 'provider: test\nreply: "{{input}}"').replace(_EMBEDDER, "provider: test")
        demo.SPEC.write_text(text, "utf-8")

    monkeypatch.setattr(demo, "copy_project", copy_quick)
    monkeypatch.chdir(tmp_path)
    return work


@pytest.mark.slow
def test_the_demo_runs_and_its_counters_show_that_nothing_is_done_twice(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo.main() == 0
    first = capfd.readouterr().out
    b = next(line for line in first.splitlines() if line.startswith("B  "))
    c = next(line for line in first.splitlines() if line.startswith("C  "))
    assert "72 searches, 0 embeddings" in b
    assert c.count("0 searches, 0 embeddings") == 2
    assert "20 generations" in c
    assert "gate " in first
    release = re.search(r"^release +(sha256:[0-9a-f]{64})$", first, re.MULTILINE)
    assert release, "the answer's release digest is shown"
    for step in ("find", "best", "answer"):
        assert re.search(rf"[├└]─ {step} ", first), "the trace is shown as a tree"

    assert demo.main() == 0
    second = capfd.readouterr().out
    assert "1 generations" not in second
    assert second.count("0 generations, 0 searches, 0 embeddings") == 6, "a second demo makes no call to evaluate"
    assert release[1] in second
