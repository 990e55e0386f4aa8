"""The kit for scorers."""

from __future__ import annotations

import anyio

from tidemill.core.extend import Scorer
from tidemill.core.json import Json

FIELDS = frozenset({"input", "output", "reference", "context", "gold", "retrieved", "retrieved_text", "metadata"})
_SAMPLE: dict[str, Json] = {
    "input": "What is 6 x 7?",
    "output": "It is 42.",
    "reference": "42",
    "context": ["6 x 7 is 42."],
    "gold": ["a"],
    "retrieved": ["a", "b"],
    "retrieved_text": ["6 x 7 is 42.", "8 x 8 is 64."],
    "metadata": {},
}


def check_scorer(scorer: Scorer) -> None:
    """It declares known fields, scores by those alone, gives the same score twice, and keeps 0 or 1 when it is binary."""
    assert scorer.name, "a scorer has a name"
    assert scorer.version, "a scorer has a version"
    assert scorer.reads, "a scorer declares what it reads"
    assert scorer.reads <= FIELDS, f"unknown fields: {sorted(scorer.reads - FIELDS)}"
    given = {field: _SAMPLE[field] for field in scorer.reads}
    score = anyio.run(scorer.score, given)
    assert score.metric, "a score names its metric"
    assert score.value is not None or score.error, "a score has a value, or says why not"
    if scorer.binary:
        assert score.value in {0.0, 1.0, None}, f"a binary scorer gave {score.value}"
    assert anyio.run(scorer.score, given) == score, "the same fields give the same score"
    for field in scorer.reads - {"metadata"}:
        odd = anyio.run(scorer.score, {**given, field: None})
        assert odd.value is not None or odd.error, f"with no {field} it neither scores nor says why"
