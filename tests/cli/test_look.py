"""What is printed, in the forms that people were promised."""

from __future__ import annotations

import datetime as dt
from xml.etree import ElementTree as ET

import pytest

from tidemill.cli.compare import print_comparison
from tidemill.cli.evaluate import print_evaluation
from tidemill.cli.failures import report
from tidemill.cli.figures import about, counted, duration, figure, interval, moment, money
from tidemill.cli.gate import junit_xml, print_gate
from tidemill.cli.plan import print_changes
from tidemill.cli.progress import ProgressLine
from tidemill.cli.run import read_inputs
from tidemill.cli.tree import trace_tree
from tidemill.core.errors import Invalid, Problem

RELEASE = "sha256:4be1" + "0" * 60


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (money(None), "no price"),
        (money(0), "$0"),
        (money(0.0011), "$0.0011"),
        (money(1234.5), "$1,234.50"),
        (money(0.00001), "$1.0e-05"),
        (duration(0.84), "0.84 ms"),
        (duration(38), "38 ms"),
        (duration(999.7), "1.00 s"),
        (duration(2310), "2.31 s"),
        (duration(192_000), "3 min 12 s"),
        (duration(7_500_000), "2 h 5 min"),
        (duration(59_999), "1 min 0 s"),
        (about(8.2), "about 8 s"),
        (about(180), "about 3 min"),
        (about(7200), "about 2 h"),
        (figure("token_f1", 0.0812, signed=True), "+0.081"),
        (figure("token_f1", 0.0, signed=True), "0.000"),
        (figure("cost", -0.0011, signed=True), "-$0.0011"),
        (figure("latency_ms", 850.2), "850 ms"),
        (figure("x", None), "-"),
        (interval("token_f1", [-0.03, 0.07], signed=True), "[-0.030, +0.070]"),
        (interval("x", None), "-"),
        (counted(1, "search"), "1 search"),
        (counted(3, "search"), "3 searches"),
        (counted(1204, "sample"), "1,204 samples"),
    ],
)
def test_numbers_with_their_units(shown: str, expected: str) -> None:
    assert shown == expected


def test_times_are_local_and_from_either_form() -> None:
    local = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert moment({"created": "2026-01-31T12:00:00.000000Z"}, "created_ns", "created") == local
    assert moment({"created_ns": 1769860800 * 10**9}, "created_ns", "created") == local
    assert moment({}, "created") == "-"


def test_a_plan_groups_by_file_and_marks_words(capsys) -> None:
    changes = [
        {
            "ref": "prompt/answer",
            "action": "update",
            "path": "tidemill/answer.yaml",
            "before": "v3",
            "after": "v4",
            "details": ['Answer from the context only[-.-]{+; say "I do not know" when it is not there.+}'],
        },
        {
            "ref": "chain/handbook",
            "action": "update",
            "path": "tidemill/handbook.yaml",
            "before": "v1",
            "after": "v2",
            "details": [],
        },
        {
            "ref": "dataset/questions",
            "action": "create",
            "path": "tidemill/answer.yaml",
            "after": "v1",
            "details": ["62 rows, 4 columns"],
        },
    ]
    print_changes(changes, changes)
    assert capsys.readouterr().out == (
        "tidemill/answer.yaml\n"
        "  ~ prompt/answer                      v3 -> v4\n"
        '      Answer from the context only[-.-]{+; say "I do not know" when it is not there.+}\n'
        "  + dataset/questions                  62 rows, 4 columns\n"
        "tidemill/handbook.yaml\n"
        "  ~ chain/handbook                     v1 -> v2\n\n"
    )
    print_changes([], [])
    assert capsys.readouterr().out == "nothing to change\n"


def test_a_comparison_has_interval_and_verdict(capsys) -> None:
    comparison = {
        "dataset": "dataset/questions@v1",
        "metrics": {
            "recall_at_k": {
                "a": 0.79,
                "b": 0.871,
                "difference": 0.081,
                "interval": [0.02, 0.16],
                "p_value": 0.0004,
                "n": 62,
                "verdict": "better",
                "better": ["q1"],
                "worse": [f"q{each}" for each in range(10, 22)],
            },
            "token_f1": {
                "a": 0.412,
                "b": 0.431,
                "difference": 0.019,
                "interval": [-0.03, 0.07],
                "p_value": 0.3,
                "n": 62,
                "verdict": "undecided",
                "reason": "62 samples can show 0.06; for 0.02 take 560",
                "better": [],
                "worse": [],
            },
        },
        "notes": ["3 samples are in one evaluation only"],
    }
    print_comparison(comparison, samples=None, names=("A", "B"))
    out = capsys.readouterr().out
    assert out.startswith("dataset/questions@v1, 62 samples, paired\n\nmetric")
    assert max(map(len, out.splitlines())) <= 100
    for text in ("+0.081", "[+0.020, +0.160]", "<0.001", "better", "undecided: 62", "3 samples are in one evaluation only"):
        assert text in out
    assert "Got worse (12) on recall_at_k: q10 q11 q12 q13 q14 q15 q16 q17 and 4 more: --samples worse" in out
    print_comparison(comparison, samples="worse", names=("A", "B"))
    assert "q21" in capsys.readouterr().out


def test_an_evaluation_shows_uncertainty_and_what_was_not_done_again(capsys) -> None:
    print_evaluation(
        {
            "id": "e1",
            "app": "chain/x@v1",
            "dataset": "dataset/q@v1",
            "samples": 62,
            "errors": 2,
            "cost": 0.0,
            "duration_ms": 14_200,
            "metrics": {"token_f1": {"mean": 0.431, "interval": [0.35, 0.51], "n": 60}},
            "calls": {"model": 20, "embed": 0, "retrieve": 62, "tool": 0},
            "reused": {"outputs": 42, "scores": 40},
        }
    )
    out = capsys.readouterr().out
    assert "chain/x@v1 on dataset/q@v1, 62 samples, 2 errors" in out
    assert "token_f1   0.431   [0.350, 0.510]   60" in out
    assert "Ran       20 generations, 0 embeddings, 62 searches, 0 tool calls   14.20 s, $0" in out
    assert "Re-used   42 outputs, 40 scores" in out


DECISION = {
    "gate": "release",
    "result": "failed",
    "checks": [
        {
            "metric": "recall_at_k",
            "rule": "min 0.8",
            "value": 0.87,
            "interval": [0.8, 0.9],
            "result": "passed",
            "reason": "whole interval",
        },
        {
            "metric": "token_f1",
            "rule": "max 0.3",
            "value": None,
            "interval": None,
            "result": "error",
            "reason": "no such metric",
        },
        {
            "metric": "mrr",
            "rule": "min 0.9",
            "value": 0.5,
            "interval": [0.4, 0.6],
            "result": "failed",
            "reason": "below & under",
        },
    ],
}


def test_a_gate_prints_a_line_a_check(capsys) -> None:
    print_gate(DECISION)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "passed   recall_at_k   min 0.8: whole interval"
    assert lines[1].startswith("error    token_f1      max 0.3: no such metric")
    assert lines[-1] == "gate failed"


def test_a_gate_as_junit() -> None:
    suite = ET.fromstring(junit_xml(DECISION))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert suite.find("testcase/failure").get("message") == "below & under"


def test_a_trace_is_a_tree() -> None:
    spans = [
        {"id": "1", "parent_id": None, "name": "handbook", "kind": "chain", "start": "1", "duration_ms": 2310},
        {
            "id": "3",
            "parent_id": "1",
            "name": "answer",
            "kind": "llm",
            "start": "3",
            "duration_ms": 2270,
            "model": "smollm2-135m",
            "output": {"text": "A context manager is\n\x1b[2Ja thing [1]"},
            "first_token_ms": 410.0,
        },
        {
            "id": "2",
            "parent_id": "1",
            "name": "find",
            "kind": "retriever",
            "start": "2",
            "duration_ms": 38,
            "output": [{"id": "topics/with.rst#12", "score": 0.83}, {"id": "topics/try.rst#3", "score": 0.71}],
        },
        {
            "id": "4",
            "parent_id": "2",
            "name": "embed",
            "kind": "embedding",
            "start": "2",
            "duration_ms": 3,
            "status": "error",
            "error": "no room",
        },
    ]
    trace = {
        "name": "handbook",
        "release": RELEASE,
        "endpoint": "handbook",
        "duration_ms": 2310,
        "cost": 0.0011,
        "status": "ok",
        "usage": {"input_tokens": 812, "output_tokens": 46},
        "spans": spans,
    }
    assert list(trace_tree(trace)) == [
        "handbook  sha256:4be10000…  endpoint/handbook  2.31 s  $0.0011  812 in / 46 out  ok",
        "├─ find    retriever  38 ms  2 chunks   topics/with.rst#12 0.83, topics/try.rst#3 0.71",
        "│  └─ embed  embedding  3 ms",
        "│       error: no room",
        "└─ answer  llm        2.27 s  smollm2-135m  first token 410 ms",
        '     "A context manager is a thing [1]"',
    ]


def test_a_trace_whose_parent_is_missing_still_shows_everything() -> None:
    spans = [
        {"id": "2", "parent_id": "lost", "name": "a", "kind": "llm"},
        {"id": "3", "parent_id": "lost", "name": "b", "kind": "llm"},
    ]
    lines = list(trace_tree({"name": "x", "status": "unset", "spans": spans}))
    assert [line.split()[1] for line in lines[1:]] == ["a", "b"]


def test_an_error_shows_its_place_the_line_itself_and_what_to_do(tmp_path, capsys) -> None:
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "a.yaml").write_text("kind: chain\n  with: {context: '{{contxt}}'}\n")
    problems = [
        Problem(message="step uses {{contxt}}", where="a.yaml:2", hint="Did you mean {{context}}?"),
        Problem(message="other", where="b.yaml:99"),
    ]
    assert report(Invalid("2 problems", problems=problems[:1])) == 2
    assert capsys.readouterr().err == (
        "error: step uses {{contxt}}\n  a.yaml:2    with: {context: '{{contxt}}'}\n  Did you mean {{context}}?\n"
    )
    report(Invalid("other", where="b.yaml:99", problems=problems))
    assert capsys.readouterr().err.count("error: ") == 2


def test_a_place_outside_the_project_is_not_read(tmp_path, capsys) -> None:
    (tmp_path.parent / "secret.txt").write_text("hidden")
    report(Invalid("x", where="../secret.txt:1"))
    report(Invalid("x", where=f"{tmp_path.parent}/secret.txt:1"))
    assert "hidden" not in capsys.readouterr().err


def test_progress_has_rate_and_time_left() -> None:
    line = ProgressLine(label="evaluation", started=0.0)
    job = {"status": "running", "progress": {"done": 10, "total": 62, "unit": "samples"}}
    assert line.text(job, now=5.0) == "evaluation  10 of 62 samples"
    assert line.text({**job, "progress": {"done": 31, "total": 62, "unit": "samples"}}, now=10.0) == (
        "evaluation  31 of 62 samples  4.2/s  about 7 s left"
    )
    assert line.text({"status": "queued", "progress": {}}, now=11.0) == "evaluation  waiting to start"


def test_inputs_are_text_files_or_json(tmp_path) -> None:
    (tmp_path / "q.txt").write_text("from a file\n")
    assert read_inputs(["a=x=y", f"b=@{tmp_path}/q.txt", 'c:=[1, {"d": null}]', "e="]) == {
        "a": "x=y",
        "b": "from a file",
        "c": [1, {"d": None}],
        "e": "",
    }


@pytest.mark.parametrize("given", [["question"], ["=x"], ["a=1", "a=2"], ["a:={"], ["a=@missing.txt"]])
def test_wrong_inputs_are_refused(given: list[str]) -> None:
    with pytest.raises(Invalid):
        read_inputs(given)
