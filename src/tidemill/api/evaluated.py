"""Reading evaluations back, for the routes that compare and decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.api.times import iso
from tidemill.core.errors import Conflict
from tidemill.core.json import JsonObject
from tidemill.evaluation.results import Evaluated
from tidemill.store import evaluations
from tidemill.store.evaluations import EvaluationRow


def evaluation_json(row: EvaluationRow) -> dict[str, Any]:
    """An evaluation as everyone sees it, finished or not."""
    shell: dict[str, Any] = {
        "id": row.id, "release": row.release, "app": row.root, "dataset": row.dataset, "samples": 0, "errors": 0, "metrics": {},
        "reused": {"outputs": 0, "scores": 0}, "calls": {}, "usage": {}, "cost": None, "duration_ms": 0.0,
    }  # fmt: skip
    result = cast("Mapping[str, Any]", row.result if isinstance(row.result, Mapping) else {})
    own = {
        "status": row.status, "job": row.config.get("job"), "created": iso(row.created_ns),
        "environment": row.config.get("environment"),
    }  # fmt: skip
    return shell | dict(result) | own


async def read_evaluated(call: Caller, evaluation: str) -> Evaluated:
    """A finished evaluation with its samples. Raises `Conflict` while it still runs."""

    def work(db: Database) -> tuple[EvaluationRow, list[JsonObject]]:
        row = evaluations.get_evaluation(db, call.project, evaluation)
        return row, [each.data for each in evaluations.get_samples(db, row.id)]

    row, samples = await call.platform.database.read(work)
    if row.status in {"queued", "running"}:
        raise Conflict(f"evaluation {row.id} is {row.status}", hint=f"Wait for it: tidemill jobs show {row.config.get('job')}")
    return Evaluated.of(evaluation_json(row), samples)
