"""What the commands print: plan, apply, diff, history, blame."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout

import pytest

from tidemill.cli.main import run

APP = """\
kind: model
name: local
provider: test
---
kind: prompt
name: answer
messages:
  - {role: system, content: "Be kind.\\nBe brief."}
  - {role: user, content: "Answer {{question}} from the context only."}
---
kind: dataset
name: questions
rows: [{id: q1, question: What?, answer: that}, {id: q2, question: Who?, answer: they}]
roles: {id: id, input: question, reference: answer}
"""


@pytest.fixture
def tidemill(tmp_path, monkeypatch, write):
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidemill.toml").touch()

    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(arguments)
        return code, out.getvalue(), err.getvalue()

    return call


def test_from_plan_to_blame(tidemill, write):
    write(APP)
    _, out, _ = tidemill("plan")
    assert "+ dataset/questions                  2 rows, 3 columns" in out
    assert tidemill("apply", "--yes")[0] == 0
    write(APP.replace("brief.", "brief and exact.").replace("What?, answer: that", "What?, answer: this"))
    _, out, _ = tidemill("plan")
    assert "~ prompt/answer                      v1 -> v2\n      system: Be brief{+ and exact+}." in out
    assert "      rows 2: 0 added, 0 removed, 1 changed\n      ~ q1: answer that -> this\n" in out
    seen = json.loads(tidemill("plan", "--json")[1])["digest"]
    code, _, err = tidemill("apply", "--yes", "--expected", "sha256:" + "0" * 64)
    assert (code, "changed since this plan" in err, "nothing was applied" in err) == (6, True, True)
    code, out, _ = tidemill("apply", "--yes", "--expected", seen)
    assert (code, "applied 2 changes" in out, "{+ and exact+}" in out) == (0, True, True)

    _, out, _ = tidemill("diff", "prompt/answer")
    assert out.startswith("prompt/answer@v1 -> prompt/answer (prompt/answer@v2)\n~ prompt/answer")
    _, out, _ = tidemill("diff", "--since", "1h", "--json")
    assert {each["ref"] for each in json.loads(out)["changes"]} == {"prompt/answer", "dataset/questions", "model/local"}
    _, out, _ = tidemill("history", "prompt/answer")
    assert "    from v1: system: Be brief{+ and exact+}." in out
    _, out, _ = tidemill("blame", "prompt/answer")
    lines = [(each.split()[0], each.split("  ")[-1]) for each in out.splitlines() if each.startswith("v")]
    assert lines == [("v1", "Be kind."), ("v2", "Be brief and exact."), ("v1", "Answer {{question}} from the context only.")]
    assert "system:" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("diff",), 2, "needs two references, or a time"),
        (("diff", "prompt/a", "--until", "1d"), 2, "--until needs --since"),
        (("diff", "--since", "someday"), 2, "--since is 'someday', which is no moment"),
        (("diff", "--since", "1d", "--zone", "Mars"), 2, "not a time zone"),
        (("diff", "prompt/a", "prompt/b"), 3, "there is no prompt/a"),
        (("blame", "prompt/a"), 3, "there is no prompt/a"),
        (("blame", "model/a"), 2, "a prompt is needed"),
        (("history", "prompt/a"), 3, "there is no prompt/a"),
    ],
)
def test_what_is_wrong_is_said(tidemill, arguments, code, words):
    ended, _, err = tidemill(*arguments)
    assert (ended, words in err) == (code, True), err
