"""The shape of what an import of traces answers."""

from __future__ import annotations

from typing_extensions import TypedDict


class TracesImportedShape(TypedDict):
    """What became of a file; `message` says what was rejected and why, and what else there is to know."""

    format: str
    spans: int
    rejected: int
    scores: int
    message: str
