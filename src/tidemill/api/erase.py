"""Erasing rows of a dataset, from every place that holds them."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from pydantic import Field

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.router import Router
from tidemill.core.refs import Ref
from tidemill.store.erase import Erased, erase_rows, rows_of_samples

router = Router(tags=["datasets"])


class Erasure(Body):
    """The samples to erase by id, and why. `version` is where ids are looked up when rows have no id of their own."""

    samples: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    why: str = Field(min_length=1, max_length=2000)
    version: str | None = None


@router.post("/datasets/{name}/samples:erase")
async def erase_samples(call: AnyCaller, name: str, body: Erasure) -> dict[str, Any]:
    """Erase rows from every version and every dataset that holds them, and from what evaluations kept. For good."""
    ref = Ref(kind="dataset", name=name, version=body.version)
    platform, project = call.platform, call.project
    database, blobs, now_ns = platform.database, platform.blobs(project), platform.clock.now_ns()

    def work() -> Erased:
        rows = rows_of_samples(database.read_sync, blobs, project, ref, body.samples)
        return erase_rows(database, blobs, project, rows, by=call.who, why=body.why, now_ns=now_ns, target=ref.bare)

    done = await anyio.to_thread.run_sync(work)
    return {
        "rows": len(done.rows),
        "blobs": len(done.blobs),
        "versions": list(done.versions),
        "evaluation_samples": done.evaluation_samples,
        "steps": done.steps,
        "scores": done.scores,
    }
