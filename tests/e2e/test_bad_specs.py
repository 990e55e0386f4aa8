"""Specs, YAML, datasets and documents that are wrong: one clear line with its place, exit 2, and nothing applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.processes import Server, Shell

GOOD = "kind: model\nname: local\nprovider: test\n---\n"
PROMPT = "kind: prompt\nname: answer\ntext: '{{question}}'\nvariables: [question]\n---\n"
CHAIN = """kind: chain
name: app
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/answer, model: model/local, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""
WHOLE = GOOD + PROMPT + CHAIN
NESTED = """kind: chain
name: {0}
inputs: {{q: string}}
steps:
  - {{id: s, chain: chain/{1}, with: {{q: '{{{{q}}}}'}}}}
output: '{{{{s}}}}'
"""
BOMB = (
    "kind: prompt\nname: answer\ntext: hi\ndescription: x\nvariables: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    + "".join(f"x{each}: &a{each} [{', '.join([f'*a{each - 1}'] * 9)}]\n" for each in range(1, 12))
)

SPECS = {
    "unknown key": (GOOD + "kind: prompt\nname: answer\ntext: hi\nvariabels: []\n", ["variabels", "variables"], 8),
    "unknown kind": ("kind: promt\nname: answer\ntext: hi\n", ["promt", "prompt"], 1),
    "wrong type": ("kind: model\nname: local\nprovider: test\nparams:\n  temperature: hot\n", ["temperature", "number"], 5),
    "no name": ("kind: prompt\ntext: hi\n", ["name"], 1),
    "bad name": ("kind: prompt\nname: An Answer\ntext: hi\n", ["An Answer"], 2),
    "unknown provider": ("kind: model\nname: local\nprovider: opnai\nmodel: x\n", ["opnai", "openai"], 3),
    "cycle": (NESTED.format("a", "b") + "---\n" + NESTED.format("b", "a"), ["chain/a", "chain/b"], None),
    "unknown reference": (WHOLE.replace("model: model/local", "model: model/locl"), ["model/locl", "model/local"], 14),
    "reference to a wrong kind": (WHOLE.replace("prompt: prompt/answer", "prompt: model/local"), ["model/local"], 14),
    "undeclared variable": (WHOLE.replace("text: '{{question}}'", "text: '{{qestion}}'"), ["qestion", "question"], 7),
    "undeclared input": (WHOLE.replace('"{{question}}"', '"{{qestion}}"'), ["qestion", "question"], 14),
    "undeclared step": (WHOLE.replace("{{answer.text}}", "{{anwser.text}}"), ["anwser", "answer"], 15),
    "the same name twice": (GOOD + GOOD, ["model/local"], None),
    "not YAML": ("kind: [prompt\nname: answer\n", ["YAML"], None),
    "an object": ('kind: prompt\nname: answer\ntext: !!python/object/apply:os.system ["touch pwned"]\n', ["python/object"], 3),
    "endless aliases": (BOMB, ["expands"], None),
    "an alias in itself": ("kind: prompt\nname: answer\ntext: &a [*a]\n", ["alias"], 3),
    "a key twice": ("kind: prompt\nname: answer\ntext: a\ntext: b\n", ["text", "twice"], 4),
    "not a mapping": ("- kind: prompt\n", ["mapping"], 1),
    "a secret in the clear": (
        "kind: connection\nname: c\nprovider: openai\napi_key: sk-0123456789abcdef\n",
        ["secret", "env:NAME"],
        4,
    ),
    "a gate without a rule": ("kind: gate\nname: g\nchecks: [{metric: contains}]\n", ["min", "max", "test"], 3),
    "an unknown scorer": ("kind: scorer\nname: s\nscorer: exact_mach\n", ["exact_mach", "exact_match"], 3),
}


def refuse(server: Server, folder: Path, *said: str, where: str = "") -> str:
    """Apply a folder that is wrong; what standard error said."""
    ended = Shell(folder, {"TIDEMILL_DATA": str(server.data)})("apply", "--yes")
    assert ended.err.endswith("nothing was applied\n")
    ended.refused(2, *said, where=where)
    assert ended.out == ""
    assert server.get("/artifacts")["items"] == []
    return ended.err


@pytest.mark.parametrize("case", SPECS)
def test_a_wrong_spec(server: Server, folder: Path, case: str) -> None:
    text, said, line = SPECS[case]
    Shell(folder).write(app=text)
    told = refuse(server, folder, *said, where=f"tidemill/app.yaml:{line}" if line else "tidemill/app.yaml")
    assert "sk-0123456789abcdef" not in told
    assert not (folder / "pwned").exists()


def test_a_spec_that_is_not_utf8(server: Server, folder: Path) -> None:
    Shell(folder).write()
    (folder / "tidemill" / "app.yaml").write_bytes(b"kind: prompt\nname: answer\ntext: caf\xe9\n")
    refuse(server, folder, "UTF-8", where="tidemill/app.yaml:3")


def test_every_mistake_is_told_at_once(server: Server, folder: Path) -> None:
    Shell(folder).write(app=SPECS["unknown key"][0], more=SPECS["wrong type"][0].replace("local", "other"))
    ended = Shell(folder, {"TIDEMILL_DATA": str(server.data)})("apply")
    assert ended.code == 2
    assert ended.err.count("error:") == 2
    assert "tidemill/app.yaml:8" in ended.err
    assert "tidemill/more.yaml:5" in ended.err
    assert server.get("/artifacts")["items"] == []


def test_a_wrong_project_file(folder: Path) -> None:
    (folder / "tidemill.toml").write_text("projct = 'x'\n")
    Shell(folder)("plan").refused(2, "projct", "project", where="tidemill.toml")


def test_a_folder_without_specs(server: Server, folder: Path) -> None:
    refuse(server, folder, "tidemill init")


DATASET = "kind: dataset\nname: d\npath: rows.{kind}\nroles: {{id: id, input: question, reference: answer}}\n"
ROWS = {
    "a missing column": ("csv", b"id,qestion,answer\n1,a,b\n", ["question", "qestion"]),
    "mixed types": (
        "jsonl",
        b'{"id": "1", "question": "a", "answer": 1}\n{"id": "2", "question": "b", "answer": "x"}\n',
        ["answer", "mixes"],
    ),
    "0 rows": ("csv", b"id,question,answer\n", ["0 rows"]),
    "nothing at all": ("csv", b"", ["rows.csv"]),
    "duplicate ids": ("csv", b"id,question,answer\n1,a,b\n2,a,b\n1,c,d\n", ["'1'", "already"]),
    "invalid UTF-8": ("csv", b"id,question,answer\n1,a,b\n2,caf\xe9,b\n", ["UTF-8", "3"]),
    "an input that is empty": ("jsonl", b'{"id": "1", "question": null, "answer": "x"}\n', ["question", "missing"]),
    "broken JSON": ("jsonl", b'{"id": "1", "question": "a", "answer": "x"}\n{"id": \n', ["2"]),
    "a row with too many cells": ("csv", b"id,question,answer\n1,a,b,c\n", ["2"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_wrong_dataset(server: Server, folder: Path, case: str) -> None:
    kind, content, said = ROWS[case]
    Shell(folder).write(data=DATASET.format(kind=kind))
    (folder / f"rows.{kind}").write_bytes(content)
    refuse(server, folder, *said, where="tidemill/data.yaml:")


def test_a_dataset_whose_file_is_not_there(server: Server, folder: Path) -> None:
    Shell(folder).write(data=DATASET.format(kind="csv"))
    (folder / "row.csv").write_text("id,question,answer\n1,a,b\n")
    refuse(server, folder, "rows.csv", where="tidemill/data.yaml:3")


def test_a_file_outside_the_project_is_not_read(server: Server, folder: Path) -> None:
    (folder / "outside.csv").write_text("id,question,answer\n1,hidden-words,b\n")
    inside = folder / "inside"
    inside.mkdir()
    (inside / "tidemill.toml").write_text("")
    Shell(inside).write(data=DATASET.format(kind="csv").replace("rows.csv", "../outside.csv"))
    assert "hidden-words" not in refuse(server, inside, "../outside.csv", where="tidemill/data.yaml:3")


@pytest.mark.parametrize("source", ["empty", "missing"])
def test_an_index_of_nothing(server: Server, folder: Path, source: str) -> None:
    (folder / "empty").mkdir()
    Shell(folder).write(index=f"kind: index\nname: docs\nsource: {source}\n")
    refuse(server, folder, source, where="tidemill/index.yaml:3")
