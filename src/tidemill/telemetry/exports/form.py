"""What a format of export files is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tidemill.core.json import JsonObject
from tidemill.telemetry.exports.documents import Entries
from tidemill.telemetry.otlp.raw import RawSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One platform's files.

    `fits` says whether a record is of this format. `spans` makes spans of all records of a file, for a project; it raises
    `Invalid`, naming the place, for one that lacks what no span can be without.
    """

    name: str
    title: str
    fits: Callable[[JsonObject], bool]
    spans: Callable[[Entries, str], Iterable[RawSpan]]
