"""What a format of export files is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tidemill.core.json import JsonObject
from tidemill.telemetry.exports.documents import Entries
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.questions.scores import TraceScore


def _unsaid(_entries: Entries, _project: str) -> Iterable[TraceScore]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One platform's files.

    `fits` says whether a record is of this format. `spans` makes spans of all records of a file, for a project; it raises
    `Invalid`, naming the place, for one that lacks what no span can be without. `scores` is what people and judges said of
    them there, where a file of the format tells.
    """

    name: str
    title: str
    fits: Callable[[JsonObject], bool]
    spans: Callable[[Entries, str], Iterable[RawSpan]]
    scores: Callable[[Entries, str], Iterable[TraceScore]] = _unsaid


class Export(NamedTuple):
    """A file, read: the name of its format, its spans, and what was said of them."""

    form: str
    spans: list[RawSpan]
    scores: list[TraceScore]
