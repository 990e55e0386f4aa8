"""Indexes: built by a job, searched in a request."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Hit, Version
from tidemill.core.refs import parse_ref
from tidemill.store import index_builds, registry

router = Router(tags=["indexes"])


class IndexSearch(Body):
    """What to look for, and how."""

    query: str
    k: int | None = Field(None, ge=1, le=1000)
    mode: Literal["vector", "fulltext", "hybrid"] | None = None
    filter: dict[str, Any] | None = None


@router.post("/indexes/{name}:build", status_code=202)
async def build_index(call: AnyCaller, name: str) -> dict[str, str]:
    """Build the latest version of an index. What is built already is not built again."""
    index, _ = await _index(call, name)
    job = await call.platform.jobs.submit("index.build", {"index": index.digest}, project=call.project, by=call.who)
    return {"job": job.id}


async def build_index_job(platform: Platform, project: str, index: Version) -> str | None:
    """Start to build an index, unless it is built; the job's id."""
    if await platform.database.read(lambda db: index_builds.get_build(db, project, index.digest)) is not None:
        return None
    job = await platform.jobs.submit("index.build", {"index": index.digest}, project=project)
    return job.id


@router.post("/indexes/{name}:search")
async def search_index(call: AnyCaller, name: str, body: IndexSearch) -> dict[str, Any]:
    """The chunks nearest to a query, best first."""
    index, embedder = await _index(call, name)
    hits = await call.platform.indexes.search(
        index,
        embedder=embedder,
        query=body.query,
        k=body.k,
        mode=body.mode,
        filter=body.filter,
        project=call.project,
        environment=call.platform.settings.environment,
        span=None,
    )
    return {"items": [_hit_json(each) for each in hits], "next": None}


class IndexBuildJob:
    """The job `index.build`: reads, chunks and embeds what is new; starts over cheaply after a kill."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Build the index whose digest is in the payload."""
        digest = str(payload["index"])

        def work(db: Database) -> tuple[Version, Version | None]:
            return _with_embedder(db, context.project, registry.find_by_digest(db, context.project, digest, kind="index"))

        index, embedder = await self._platform.database.read(work)
        report = await self._platform.indexes.build(
            index,
            project=context.project,
            embedder=embedder,
            environment=self._platform.settings.environment,
            report=context.report,
        )
        problems: list[Json] = [{"message": each.message, "where": each.where} for each in report.problems]
        return {
            "index": index.ref, "documents": report.documents, "chunks": report.chunks, "embedded": report.embedded,
            "reused": report.reused, "removed": report.removed, "problems": problems,
        }  # fmt: skip


async def _index(call: Caller, name: str) -> tuple[Version, Version | None]:
    ref = parse_ref(name, kind="index")
    return await call.platform.database.read(
        lambda db: _with_embedder(db, call.project, registry.get_version(db, call.project, ref))
    )


def _with_embedder(db: Database, project: str, index: Version | None) -> tuple[Version, Version | None]:
    if index is None:
        raise NotFound("the index that this job was to build is gone", hint="Apply the project again.")
    reference = index.spec.get("embed")
    if reference is None:
        return index, None
    if not isinstance(reference, str):
        raise Invalid(f"{index.ref} names no embedder", hint="Apply the project again.")
    return index, registry.find_by_digest(db, project, index.refs[reference])


def _hit_json(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "id": chunk.id, "document": chunk.document, "score": hit.score, "rank": hit.rank, "text": chunk.text,
        "headings": list(chunk.headings), "start": chunk.start, "end": chunk.end, "metadata": dict(chunk.metadata),
    }  # fmt: skip
