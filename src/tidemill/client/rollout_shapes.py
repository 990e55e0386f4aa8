"""The JSON shapes of rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from tidemill.core.json import Json

RolloutStatus = Literal["running", "promoted", "aborted"]


class MeasuredJson(TypedDict, total=False):
    """A number with its 95 % interval (None where there is too little) and how many it is of."""

    value: float | None
    interval: Sequence[float] | None
    n: int


class DifferenceJson(TypedDict, total=False):
    """Canary less stable, with the 95 % interval; `undecided` while the interval holds 0."""

    difference: float
    interval: Sequence[float]
    verdict: Literal["better", "worse", "undecided"]


class SaidJson(TypedDict, total=False):
    """Feedback of one variant."""

    thumbs_up: MeasuredJson | None
    scores: Mapping[str, MeasuredJson]
    corrections: int
    comments: int


class VariantJson(TypedDict, total=False):
    """How one variant does. `users` are users, sessions where no user is named, else single requests."""

    requests: int
    users: int
    error_share: MeasuredJson
    latency_ms: Mapping[str, MeasuredJson] | None
    feedback: SaidJson


class RolloutSide(TypedDict, total=False):
    """What one side of a rollout serves."""

    release: str
    app: str


class RolloutJson(TypedDict, total=False):
    """A rollout; shares are in percent. `variants` and `differences` stand in the answer for a single one."""

    id: str
    endpoint: str
    status: RolloutStatus
    canary: RolloutSide
    stable: RolloutSide
    share: float
    steps: Sequence[Mapping[str, Json]]
    step: int
    started: str
    started_by: str
    ended: str | None
    ended_by: str | None
    why: str
    variants: Mapping[Literal["canary", "stable"], VariantJson] | None
    differences: Mapping[str, DifferenceJson]
    note: str | None
