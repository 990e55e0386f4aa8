"""`tidemill pipeline`, as a person and as a script meet it."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout

import pytest

from tidemill.cli.main import run

SPEC = """
kind: pipeline
name: tide
inputs: {start: 1}
on: {schedule: "0 3 * * *"}
steps:
  - {id: first, python: "told_steps:add", with: {a: "{{start}}"}}
  - {id: second, python: "told_steps:fail", with: {a: "{{first}}"}, when: inputs.start == 5}
"""
CODE = """
def add(a, log):
    log(f"adding to {a}")
    return int(a) + 1

def fail(a):
    raise ValueError("no")
"""


@pytest.fixture
def tidemill(tmp_path, monkeypatch):
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill" / "a.yaml").write_text(SPEC)
    (tmp_path / "told_steps.py").write_text(CODE)

    def call(*arguments, code=0):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            ended = run(arguments)
        assert ended == code, out.getvalue() + err.getvalue()
        return out.getvalue() + err.getvalue()

    call("apply", "--yes")
    return call


def test_run_show_logs_and_list(tidemill):
    said = tidemill("pipeline", "run", "tide", "--input", "start=4")
    assert "of pipeline/tide@v1" in said
    assert "skipped  not so: inputs.start == 5" in said
    assert "done in" in said
    again = json.loads(tidemill("pipeline", "run", "tide", "--input", "start=4", "--json"))
    assert (again["status"], again["steps"][0]["cached"], again["steps"][0]["output"]) == ("done", True, 5)
    shown = tidemill("pipeline", "show", "pipeline/tide")
    assert "├─ first " in shown
    assert "used again" in shown
    assert "sha256:" in shown
    assert "adding to 4" in tidemill("pipeline", "logs", json.loads(tidemill("pipeline", "list", "--json"))["items"][1]["id"])
    listed = tidemill("pipeline", "list")
    assert "schedule 0 3 * * *" in listed
    assert listed.count("tide@v1") == 2


def test_a_step_that_fails_ends_with_exit_code_1(tidemill):
    said = tidemill("pipeline", "run", "tide", "--input", "start:=5", code=1)
    assert "step second: told_steps:fail raised ValueError: no" in said
    assert "failed: told_steps:fail raised" in tidemill("pipeline", "logs", "pipeline/tide", "second")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "tied"), 3, "Did you mean pipeline/tide?"),
        (("run", "tide", "--input", "strat=1"), 2, "has no input 'strat'"),
        (("show", "0123456789"), 3, "there is no pipeline run"),
        (("show", "pipeline/tide"), 3, "has not run yet"),
        (("cancel", "0123456789"), 3, "there is no pipeline run"),
    ],
)
def test_bad_input_is_told(tidemill, arguments, code, words):
    said = tidemill("pipeline", *arguments, code=code)
    assert words in said
    assert "Traceback" not in said
