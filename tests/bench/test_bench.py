"""Benchmarks are run by people; here only that they run at all, and that what they print can be read."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import names
from bench.table import markdown

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {"embedding": "onnxruntime", "harness": "scipy", "retrieval": "bm25s", "tune": "gguf"}
LINE = {
    "benchmark": "chain",
    "what": "a step",
    "ours": 123.4,
    "baseline": 2.0,
    "unit": "us",
    "ratio": 61.7,
    "baseline_is": "bare",
}


@pytest.fixture
def bench():
    def run(*arguments):
        command = [sys.executable, "-m", "bench", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)

    return run


@pytest.fixture
def environment():
    """Benchmarks give engines one thread for the rest of their process; these tests share theirs with others."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("name", names())
def test_every_benchmark_can_be_run(name, environment):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    assert callable(importlib.import_module(f"bench.{name}").main)


def test_a_named_benchmark_gives_lines_and_a_table(bench):
    done = bench("chain")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(each) for each in done.stdout.splitlines()]
    assert {"benchmark", "what", "ours", "baseline", "unit", "ratio", "baseline_is"} <= set(lines[0])
    assert all(each["ours"] > 0 and each["baseline"] > 0 for each in lines)
    rows = [each for each in done.stderr.splitlines() if each.startswith("| chain | ")]
    assert len(rows) == len(lines)


def test_an_unknown_benchmark_is_named_beside_those_that_exist(bench):
    done = bench("chian")
    assert done.returncode == 2
    assert "there is no benchmark 'chian'" in done.stderr
    assert "chain" in done.stderr


@pytest.mark.parametrize(
    ("more", "cell"),
    [
        ({}, "|  |"),
        ({"budget": 200}, "| ≤ 200 us |"),
        ({"budget": 100}, "| ≤ 100 us, **missed** |"),
        ({"budget_ratio": 2.0}, "| ≤ 2 × baseline, **missed** |"),
        ({"budget": 100, "unit": "writes/s"}, "| ≥ 100 writes/s |"),
        ({"budget": 0.99, "ours": 0.98, "unit": "recall"}, "| ≥ 0.99, **missed** |"),
    ],
)
def test_the_table_says_whether_a_budget_was_kept(more, cell):
    assert markdown([LINE | more]).splitlines()[-1].endswith(cell)
