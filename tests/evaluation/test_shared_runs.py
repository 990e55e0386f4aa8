"""Real runs: two prompts over 107 questions, each run twice. A repeat of the same prompt must not be called better or worse."""

import gzip
import json
import os
from collections import defaultdict
from pathlib import Path

import anyio
import pytest

from tidemill.evaluation.compare import compare
from tidemill.evaluation.gate import decide
from tidemill.evaluation.gate_rules import CheckRule, GateRule
from tidemill.evaluation.results import Evaluated, SampleResult
from tidemill.evaluation.scorers.choose import make_scorer

SCORES = ("gpt_groundedness", "gpt_relevance", "token_f1")
REPEATS = [("baseline", "baseline2"), ("prompt_nomarkdownmention", "prompt_nomarkdownmention2")]


@pytest.fixture(scope="module")
def runs():
    folder = Path(os.environ.get("TIDEMILL_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    file = folder / "rag_eval_runs" / "results.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no runs at {file}; set TIDEMILL_SHARED_DATA to the folder that holds the shared data")
    grouped = defaultdict(dict)
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            grouped[row["run"]].setdefault(row["question"], row)
    return {name: as_evaluated(name, rows) for name, rows in grouped.items()}


def as_evaluated(name, rows):
    scorer = make_scorer("token_f1", {}).scorer

    async def results():
        made = []
        for question, row in rows.items():
            f1 = await scorer.score({"output": row["answer"], "reference": row["truth"]})
            given = {"gpt_groundedness": row["gpt_groundedness"], "gpt_relevance": row["gpt_relevance"], "token_f1": f1.value}
            made.append(SampleResult(sample=question, digest=row["truth"], scores=given, latency_ms=row["latency"] * 1000))
        return made

    return Evaluated(id=name, results=anyio.run(results), scorers=dict.fromkeys(SCORES, "sha256:same"))


@pytest.mark.parametrize("pair", REPEATS, ids=["baseline", "prompt"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_repeat_is_neither_better_nor_worse(runs, pair, turned):
    a, b = (runs[each] for each in (reversed(pair) if turned else pair))
    shown = compare(a, b, metrics=SCORES, resamples=2_000)["metrics"]
    assert {name: each["verdict"] for name, each in shown.items()} == dict.fromkeys(SCORES, "undecided")
    assert all(each["n"] >= 100 for each in shown.values())


@pytest.mark.parametrize("pair", REPEATS, ids=["baseline", "prompt"])
def test_a_repeat_passes_no_gate_that_asks_for_better(runs, pair):
    checks = [CheckRule(metric=each, test="superiority") for each in SCORES]
    decision = decide(GateRule(name="gate/better", checks=checks), runs[pair[1]], runs[pair[0]])
    assert decision.result == "inconclusive"
    assert decision.to_json()["incumbent_stays"]


def test_with_a_margin_a_repeat_is_equivalent(runs):
    a, b = (runs[each] for each in REPEATS[0])
    shown = compare(a, b, margins={"token_f1": 0.05}, resamples=2_000)["metrics"]["token_f1"]
    assert shown["verdict"] == "equivalent"
