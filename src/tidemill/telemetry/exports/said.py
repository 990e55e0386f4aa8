"""Scores, assessments and feedback of an export file as scores of the trace or span that they were given to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from tidemill.core.json import Json
from tidemill.telemetry.exports.identity import span_id, trace_id
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.questions.scores import Source, TraceScore

SOURCES: Final[Mapping[str, Source]] = {
    "ANNOTATION": "feedback", "HUMAN": "feedback", "APP": "feedback",
    "EVAL": "evaluation", "MODEL": "evaluation", "AUTO_EVAL": "evaluation", "LLM_JUDGE": "evaluation",
    "AI_JUDGE": "evaluation", "CODE": "evaluation",
}  # fmt: skip
"""Who said it, in the words of the platforms; all else came through their API."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What an export file tells of one score, in its own words; `span` is empty where it is of the whole trace."""

    trace: str
    name: str
    source: str
    author: str
    value: Json
    at: Json
    where: str
    span: str = ""
    comment: str = ""

    def scores(self, project: str) -> Iterator[TraceScore]:
        """One score, its ids the same each time; none for what says nothing, or is of no trace.

        A truth value is 1 or 0 and its word; a text, or several values, are the score's text; a comment comes after it. Raises
        `Invalid`, naming the place, for a time that is none.
        """
        number = float(self.value) if isinstance(self.value, int | float) and math.isfinite(self.value) else None
        words = _words(self.value) if number is None or isinstance(self.value, bool) else ""
        text = ": ".join(each for each in (words, self.comment.strip()) if each)
        if self.trace and self.name and (number is not None or text):
            yield TraceScore(
                project=project, trace_id=trace_id(self.trace), span_id=span_id(self.span), name=self.name,
                source=SOURCES.get(self.source.upper(), "api"), author=self.author, value=number, text=text,
                at_ns=time_ns(self.at, where=f"{self.where}: its time"),
            )  # fmt: skip


def _words(value: Json) -> str:
    if isinstance(value, str):
        return value.strip()
    return orjson.dumps(value).decode() if isinstance(value, bool | Mapping | Sequence) and value not in ({}, []) else ""
