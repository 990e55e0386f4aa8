"""Datasets: their samples."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from fastapi import APIRouter

from tidemill.api.caller import AnyCaller, Limit, Page, page
from tidemill.core.errors import Invalid
from tidemill.core.records import Sample
from tidemill.core.refs import Ref
from tidemill.data.dataset import load_samples
from tidemill.store import registry

router = APIRouter(tags=["datasets"])


@router.get("/datasets/{name}/samples")
async def list_samples(
    call: AnyCaller, name: str, version: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """The samples in order, each with its row and digest."""
    ref = Ref(kind="dataset", name=name, version=version)
    found = await call.platform.database.read(lambda db: registry.get_version(db, call.project, ref))
    samples = await anyio.to_thread.run_sync(load_samples, found, call.platform.blobs(call.project))
    start = _start(cursor)
    shown = samples[start : start + limit]
    following = str(start + limit) if start + limit < len(samples) else None
    return page([_sample_json(each) for each in shown], following)


def _start(cursor: str | None) -> int:
    if cursor is not None and not cursor.isdecimal():
        raise Invalid(f"cursor {cursor!r} is not one of this list")
    return int(cursor or 0)


def _sample_json(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "digest": sample.digest, "input": sample.input, "reference": sample.reference, "row": sample.row}
