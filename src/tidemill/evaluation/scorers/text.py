"""Scorers that compare an answer with the reference as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Score
from tidemill.evaluation.scorers.normalise import NORMALISATION, as_text, normalise, references_of, tokens

_READS = frozenset({"output", "reference"})
_NO_REFERENCE = "the sample has no reference"


def _flag(value: object, *, option: str) -> None:
    if not isinstance(value, bool):
        raise Invalid(f"{option} is true or false, not {value!r}", where=option)


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """1 when the output equals any accepted answer, else 0.

    `normalised` compares after SQuAD's normalisation (see `normalise`); otherwise every character counts but outer white space.
    """

    normalised: bool = True
    name: str = "exact_match"
    reads: frozenset[str] = _READS
    version: str = f"1+{NORMALISATION}"
    binary: bool = True

    def __post_init__(self) -> None:
        _flag(self.normalised, option="normalised")

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `output` against `reference`."""
        form = normalise if self.normalised else str.strip
        accepted = [form(each) for each in references_of(fields.get("reference"))]
        if not accepted:
            return Score(metric=self.name, value=None, error=_NO_REFERENCE)
        return Score(metric=self.name, value=float(form(as_text(fields.get("output"))) in accepted))


@dataclass(frozen=True, kw_only=True)
class Contains:
    """1 when the output contains an accepted answer as whole words, else 0; with `all`, every one of them.

    `normalised` compares after SQuAD's normalisation; otherwise as a plain piece of text, case and punctuation included.
    """

    normalised: bool = True
    all: bool = False
    name: str = "contains"
    reads: frozenset[str] = _READS
    version: str = f"1+{NORMALISATION}"
    binary: bool = True

    def __post_init__(self) -> None:
        _flag(self.normalised, option="normalised")
        _flag(self.all, option="all")

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `output` against `reference`."""
        wanted = references_of(fields.get("reference"))
        if self.normalised:
            wanted = [normalise(each) for each in wanted]
        wanted = [each for each in wanted if each.strip()]
        if not wanted:
            return Score(metric=self.name, value=None, error=_NO_REFERENCE)
        output = as_text(fields.get("output"))
        found = [self._holds(output, each) for each in wanted]
        missing = next((each for each, there in zip(wanted, found, strict=True) if not there), "")
        value = float(all(found) if self.all else any(found))
        return Score(metric=self.name, value=value, reason="" if value else f"not in the output: {missing}")

    def _holds(self, output: str, wanted: str) -> bool:
        return f" {wanted} " in f" {normalise(output)} " if self.normalised else wanted in output


@dataclass(frozen=True, kw_only=True)
class TokenF1:
    """The harmonic mean of word precision and recall against the nearest accepted answer, as SQuAD 2.0 computes it.

    When either side has no words left after normalisation, it is 1 if both have none, else 0.
    """

    name: str = "token_f1"
    reads: frozenset[str] = _READS
    version: str = f"1+{NORMALISATION}"
    binary: bool = False

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score `output` against `reference`."""
        accepted = references_of(fields.get("reference"))
        if not accepted:
            return Score(metric=self.name, value=None, error=_NO_REFERENCE)
        output = tokens(as_text(fields.get("output")))
        return Score(metric=self.name, value=max(token_f1(output, tokens(each)) for each in accepted))


def token_f1(output: list[str], reference: list[str]) -> float:
    """SQuAD 2.0's `compute_f1` over words."""
    if not output or not reference:
        return float(output == reference)
    shared = (Counter(output) & Counter(reference)).total()
    return 2 * shared / (len(output) + len(reference))
