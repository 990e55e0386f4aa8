"""Recorded evaluations of a real application: two identical repeats of each of two prompts, over the same questions."""

import gzip
import itertools
import json
import os
from pathlib import Path

import pytest

from tidemill.evaluation.compare import compare
from tidemill.evaluation.gate import decide
from tidemill.evaluation.gate_rules import CheckRule, GateRule
from tidemill.evaluation.results import Evaluated, SampleResult

METRICS = ("gpt_groundedness", "gpt_relevance")
REPEATS = [("baseline", "baseline2"), ("prompt_nomarkdownmention", "prompt_nomarkdownmention2")]


@pytest.fixture(scope="module")
def runs() -> dict[str, Evaluated]:
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    file = folder / "rag_eval_runs" / "results.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"the shared data is not at {folder}; set TIDEMILL_SHARED_DATA")
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().split("\n") if line]
    return {
        name: Evaluated(id=name, results=[result(each) for each in group], scorers=dict.fromkeys(METRICS, "sha256:judge"))
        for name, group in itertools.groupby(sorted(rows, key=lambda each: each["run"]), key=lambda each: each["run"])
    }


def result(row):
    return SampleResult(
        sample=row["question"],
        output=row["answer"],
        scores={metric: row[metric] for metric in METRICS},
        latency_ms=row["latency"] * 1000,
    )


def test_there_are_four_runs_over_the_same_questions(runs):
    assert len(runs) == 4
    assert len({frozenset(each.sample for each in run.results) for run in runs.values()}) == 1


@pytest.mark.parametrize(("first", "second"), REPEATS)
def test_the_hour_at_which_a_run_was_made_is_no_gain_in_latency(runs, first, second):
    latency = compare(runs[first], runs[second])["metrics"]["latency_ms"]
    assert latency["verdict"] == "undecided"
    assert latency["interval"][1] < 0  # the second run of each was faster, sample by sample
    assert latency["p_value"] < 0.01
    assert "two runs at different times" in latency["reason"]


@pytest.mark.parametrize(("first", "second"), REPEATS)
def test_a_repeat_is_shown_to_be_no_worse(runs, first, second):
    rule = GateRule(name="as-good", checks=[CheckRule(metric=each, test="noninferiority", margin=0.25) for each in METRICS])
    assert decide(rule, runs[second], runs[first]).result == "passed"
