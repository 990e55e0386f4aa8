"""Two evaluations, paired sample by sample."""

from __future__ import annotations

from typing import Literal

import anyio.to_thread
from pydantic import Field

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.evaluated import read_evaluated
from tidemill.api.router import Router
from tidemill.core.json import JsonObject
from tidemill.evaluation.compare import compare
from tidemill.evaluation.results import parse_slice

router = Router(tags=["evaluations"])


class Comparison(Body):
    """Two evaluations by id; `margins` names, by metric, the difference that does not matter."""

    a: str
    b: str
    metrics: tuple[str, ...] | None = None
    margins: dict[str, float] = Field(default_factory=dict[str, float])
    alpha: float = 0.05
    correction: Literal["holm", "none"] = "none"
    slice: str | None = None


@router.post("/comparisons", response_model=None)
async def compare_evaluations(call: AnyCaller, body: Comparison) -> JsonObject:
    """For each metric the difference b - a with its interval, test and verdict, and the samples that changed."""
    a, b = await read_evaluated(call, body.a), await read_evaluated(call, body.b)
    within = parse_slice(body.slice) if body.slice else None

    def work() -> JsonObject:
        return compare(
            a, b, metrics=body.metrics, margins=body.margins, alpha=body.alpha, correction=body.correction, within=within
        )

    return await anyio.to_thread.run_sync(work)
