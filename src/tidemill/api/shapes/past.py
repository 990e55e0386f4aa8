"""Answers about what differs, what was, and who brought it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from tidemill.api.shapes.registry import MovedReferenceShape, VersionShape


class FieldShape(TypedDict):
    """A value that differs, by its path."""

    path: str
    effect: Literal["add", "remove", "change"]
    before: NotRequired[Any]
    after: NotRequired[Any]


class CountedShape(TypedDict):
    """Rows or documents that differ, with a sample."""

    added: int
    removed: int
    changed: int
    sample: list[dict[str, Any]]


class DifferenceShape(TypedDict):
    """One thing that differs. What there is nothing of is left out; `by`, `why` and `at` are of what moved in a project."""

    ref: str
    action: Literal["create", "update", "remove"]
    before: str | None
    after: str | None
    was: str | None
    digest: str | None
    path: str
    details: list[str]
    fields: NotRequired[list[FieldShape]]
    more_fields: NotRequired[int]
    rows: NotRequired[CountedShape]
    documents: NotRequired[CountedShape]
    contract: NotRequired[str]
    references: NotRequired[list[MovedReferenceShape]]
    by: NotRequired[str | None]
    why: NotRequired[str | None]
    at: NotRequired[str | None]


class DiffShape(TypedDict("_DiffFrom", {"from": str})):
    """What differs between two things, or two points in time; of two times alone there are no references."""

    to: str
    changes: list[DifferenceShape]
    from_ref: NotRequired[str]
    to_ref: NotRequired[str]
    from_digest: NotRequired[str | None]
    to_digest: NotRequired[str | None]
    from_at: NotRequired[str | None]
    to_at: NotRequired[str | None]


class MoveShape(TypedDict):
    """An alias that came to a version; `before` is where it was."""

    alias: str
    before: str | None
    by: str
    why: str
    at: str


class PastShape(VersionShape):
    """A version and its past: who made it, from which, what changed, where aliases were, and where it is served."""

    by: str
    parent: str | None
    summary: str
    details: list[str]
    aliases: list[str]
    moves: list[MoveShape]
    served: list[str]


class BlamedShape(TypedDict):
    """A line of a prompt, and the version that brought it."""

    message: int
    role: str
    line: int
    text: str
    version: str
    ref: str
    by: str
    at: str


class BlameShape(TypedDict):
    """A prompt line by line."""

    ref: str
    digest: str
    lines: list[BlamedShape]
