"""How much of an answer is covered by what it was given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.core.json import Json
from tidemill.core.records import Score
from tidemill.evaluation.scorers.normalise import NORMALISATION, as_text, tokens

_CITATION = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]")


@dataclass(frozen=True, kw_only=True)
class GroundednessOverlap:
    """The share of the answer's words that occur in the retrieved text or the sample's context.

    This is K-Precision of Adlakha et al. 2024, "Evaluating Correctness and Faithfulness of Instruction-Following Models for
    Question Answering" (TACL), over SQuAD-normalised words, each word counting at most as often as the source has it.
    Citations such as [1] are not words. It sees copying, not meaning: a true paraphrase scores low and a shuffled copy
    scores high. An empty answer scores 0.
    """

    name: str = "groundedness_overlap"
    reads: frozenset[str] = frozenset({"output", "retrieved_text", "context"})
    version: str = f"1+{NORMALISATION}"
    binary: bool = False

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `output` against `retrieved_text` and `context` together."""
        source = [*_texts(fields.get("retrieved_text")), *_texts(fields.get("context"))]
        if not any(each.strip() for each in source):
            return Score(metric=self.name, value=None, error="nothing was retrieved and the sample has no context")
        answer = tokens(_CITATION.sub(" ", as_text(fields.get("output"))))
        if not answer:
            return Score(metric=self.name, value=0.0, reason="the answer is empty")
        known = Counter(word for each in source for word in tokens(each))
        shared = (Counter(answer) & known).total()
        return Score(metric=self.name, value=shared / len(answer))


def _texts(value: Json) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_text(each) for each in value]
    return [as_text(value)]
