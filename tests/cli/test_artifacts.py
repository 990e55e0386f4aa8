"""Tags, aliases, deleting, erasing and releases from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Ended

Run = Callable[..., Ended]
APP = """\
kind: model
name: echo
provider: test
---
kind: prompt
name: ask
tags: {team: search}
owner: ana
text: "{{question}}"
---
kind: chain
name: help
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{id: s1, q: what is it, a: a}, {id: s2, q: what else, a: b}]
roles: {input: q, reference: a, id: id}
"""


@pytest.fixture
def applied(tidemill: Run, tmp_path: Path) -> Run:
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "app.yaml").write_text(APP, "utf-8")
    (tmp_path / "tidemill.toml").touch()
    ended = tidemill("apply", "--yes")
    assert ended.code == 0, ended.err
    return tidemill


def test_a_release_is_made_listed_shown_and_verified(applied: Run, tmp_path: Path) -> None:
    made = applied("release", "chain/help", "--lock", "help.lock.json")
    assert made.code == 0
    digest = made.out.split()[0]
    lock = json.loads((tmp_path / "help.lock.json").read_text("utf-8"))
    assert {"schema", "root", "artifacts", "engine", "hermetic", "digest", "signature"} == set(lock)
    for what in ("chain/help", digest, "help.lock.json"):
        verified = applied("release", "verify", what)
        assert (verified.code, verified.out.splitlines()[-1]) == (0, "the release holds")
    listed = json.loads(applied("release", "list", "chain/help", "--json").out)["items"]
    assert [each["digest"] for each in listed] == [digest]
    assert digest in applied("release", "show", "chain/help").out
    lock["artifacts"]["prompt/ask"]["digest"] = "sha256:" + "0" * 64
    (tmp_path / "forged.lock.json").write_text(json.dumps(lock), "utf-8")
    forged = applied("release", "verify", "forged.lock.json", "--json")
    assert forged.code == 1
    assert {each["state"] for each in json.loads(forged.out)["lines"]} >= {"altered", "missing"}
    apart = applied("release", "verify", "help.lock.json", "--blobs", ".tidemill/blobs/default")
    assert apart.code == 1  # the folder has no artifacts, and nobody else was asked
    assert apart.out.count("missing") == 3
    for wrong in (("nothing.lock.json",), ("chain/help", "--blobs", ".")):
        assert applied("release", "verify", *wrong).code == 2
    assert applied("release", "show", "prompt/ask").code == 2


def test_tags_and_aliases(applied: Run) -> None:
    assert "prompt/ask@v1" in applied("get", "prompt", "--tag", "team=search", "--owner", "ana").out
    assert applied("tag", "prompt/ask", "team=", "zone=eu", "--description", "Asks").out == "prompt/ask@v1  zone=eu\n"
    assert applied("get", "--tag", "team=search").out == "nothing like this\n"
    assert "prompt/ask@v1" in applied("get", "--q", "ASKS").out
    assert applied("tag", "prompt/ask").code == 2
    assert applied("tag", "prompt/ask", "zone").code == 2
    assert applied("alias", "chain/help", "production", "--why", "first").out == "production is chain/help@v1\n"
    assert "first" in applied("alias", "list", "chain/help").out
    assert applied("alias", "remove", "chain/help", "production", "--expected", "v2").code == 6
    assert applied("alias", "remove", "chain/help", "production").code == 0
    assert "v1 -> -" in applied("alias", "list", "chain/help", "--moves").out


def test_deleting_restoring_and_purging(applied: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = applied("delete", "prompt/ask", "--yes")
    assert (kept.code, kept.err.splitlines()[-1]) == (6, "nothing was deleted")
    assert "tidemill delete chain/help@v1" in kept.err
    assert "Undo      tidemill restore dataset/questions@v1" in applied("delete", "dataset/questions", "--yes").out
    assert "dataset/questions@v1" in applied("get", "--deleted").out
    assert applied("restore", "dataset/questions").code == 0
    assert applied("delete", "dataset/questions", "--yes", "--why", "over").code == 0
    assert "0 versions and 0 blobs" in applied("delete", "--purge").out
    monkeypatch.setenv("TIDEMILL_RETENTION", "0s")
    assert "purged    dataset/questions@v1\n1 versions and 1 blobs" in applied("delete", "--purge").out
    assert not [each for each in (tmp_path / ".tidemill" / "blobs").rglob("*") if each.is_file()]
    assert applied("restore", "dataset/questions").code == 3
    assert applied("apply", "--yes").code == 0
    assert "dataset/questions@v2" in applied("get", "dataset").out  # a number is never given twice
    for wrong in ((), ("prompt/ask", "--purge")):
        assert applied("delete", *wrong).code == 2


def test_erasing_a_sample(applied: Run) -> None:
    assert applied("data", "erase", "dataset/questions", "--sample", "s1").code == 2
    done = applied("data", "erase", "dataset/questions", "--sample", "s1", "--why", "asked")
    assert done.out.startswith("erased    1 row from 1 blob, of dataset/questions@v1\n")
    assert "s1" not in applied("data", "show", "dataset/questions").out
    assert applied("data", "erase", "dataset/questions", "--sample", "s3", "--why", "asked").code == 3
    assert applied("apply", "--yes").code == 0  # the file still has the row: it does not come back
    assert "s1" not in applied("data", "show", "dataset/questions").out
