"""Answers that tell what is known of a release and of a project's work: cards, bills of materials, maturity."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class NotMeasuredShape(TypedDict):
    """What nothing is known of: the command that would measure it, or why it cannot be known."""

    what: str
    how: NotRequired[str]
    why: NotRequired[str]


class LimitsShape(TypedDict):
    """What was measured, and what was not."""

    measured: list[Any]
    not_measured: list[NotMeasuredShape]


class ComponentShape(TypedDict):
    """A part of an application; `uses` are digests by reference."""

    ref: str
    kind: str
    digest: str
    role: str
    description: str
    uses: dict[str, str]
    blobs: dict[str, Any]


class SystemCardShape(TypedDict):
    """The card of an application. What is not known says so."""

    schema: str
    card: Literal["system"]
    name: str
    application: str
    release: str
    project: str
    description: str
    owner: str
    released: str
    released_by: str
    hermetic: bool
    components: list[ComponentShape]
    data: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    approvals: list[dict[str, Any]]
    served: list[dict[str, Any]]
    limits: LimitsShape
    markdown: str


class ModelCardShape(TypedDict):
    """The card of a model; the spec of its kind adds what it has."""

    schema: str
    card: Literal["model"]
    name: str
    kind: str
    ref: str
    digest: str
    release: str
    limits: LimitsShape
    markdown: str


class CardsShape(TypedDict):
    """The system card of a release, and a card of each of its models."""

    system: SystemCardShape
    models: list[ModelCardShape]


_Named = TypedDict(
    "_Named", {"$schema": str, "bomFormat": Literal["CycloneDX"], "specVersion": str, "serialNumber": NotRequired[str]}
)


class BillShape(_Named):
    """A bill of materials, CycloneDX 1.6, which says what the rest is."""

    version: int
    metadata: dict[str, Any]
    components: list[dict[str, Any]]
    dependencies: list[dict[str, Any]]
    properties: NotRequired[list[dict[str, Any]]]


class WatermarkShape(TypedDict):
    """Whether a text bears a model's watermark: `z` and `p_value` of `green` among `pairs`."""

    model: str
    key: str
    verdict: str
    shown_at: float
    z: float
    p_value: float
    green: int
    pairs: int


class CriterionShape(TypedDict):
    """One criterion: a count of what was seen, and how many it takes."""

    practice: str
    level: int
    what: str
    evidence: str
    count: int
    needed: int
    met: bool
    next: str


class PracticeShape(TypedDict):
    """How mature a practice is."""

    practice: str
    level: int
    name: str
    met: int
    of: int
    criteria: list[CriterionShape]


class NextStepShape(TypedDict):
    """A command, and what it would fulfil."""

    command: str
    what: str
    practice: str
    level: int


class MaturityShape(TypedDict):
    """How the project works, from what the platform has seen; `unknown` is what could not be counted here."""

    practices: list[PracticeShape]
    rule: str
    next: list[NextStepShape]
    unknown: NotRequired[list[str]]
