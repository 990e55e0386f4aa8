"""Datasets: their samples."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from pydantic import Field

from tidemill.api.append import append_to_dataset, appended_json
from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.router import Router
from tidemill.core.errors import Invalid
from tidemill.core.records import Sample, Version
from tidemill.core.refs import parse_ref
from tidemill.data.append import Appended, append_rows
from tidemill.data.dataset import load_samples
from tidemill.data.specs import RolesSpec
from tidemill.store import registry

router = Router(tags=["datasets"])


class NewSamples(Body):
    """Rows to append, as JSON objects; `roles` say which columns are what when the dataset is new."""

    rows: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=10_000)
    roles: RolesSpec | None = None


@router.get("/datasets/{name}/samples")
async def list_samples(
    call: AnyCaller, name: str, version: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """The samples in order, each with its row and digest."""
    pinned = cursor.partition(".")[0] if cursor is not None else version  # the pages of one list are of one version
    ref = parse_ref(f"{name}@{pinned}" if pinned else name, kind="dataset")
    found = await call.platform.database.read(lambda db: registry.get_version(db, call.project, ref))
    samples = await anyio.to_thread.run_sync(load_samples, found, call.platform.blobs(call.project))
    start = _start(cursor, found)
    shown = samples[start : start + limit]
    following = f"{found.digest}.{start + limit}" if start + limit < len(samples) else None
    return page([_sample_json(each) for each in shown], following)


@router.post("/datasets/{name}/samples")
async def append_samples(call: AnyCaller, name: str, body: NewSamples) -> dict[str, Any]:
    """Append rows as a new version; the dataset is made when it is missing. Rows that it has already are not doubled."""

    def make(version: Version | None, lines: bytes) -> Appended:
        return append_rows(version, lines, body.rows, roles=body.roles or RolesSpec())

    return appended_json(*await append_to_dataset(call, name, make))


def _start(cursor: str | None, version: Version) -> int:
    digest, _, start = (cursor or f"{version.digest}.0").partition(".")
    if digest != version.digest or not start.isdecimal():
        raise Invalid(f"cursor {cursor!r} is not one of this list")
    return int(start)


def _sample_json(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "digest": sample.digest, "input": sample.input, "reference": sample.reference, "row": sample.row}
