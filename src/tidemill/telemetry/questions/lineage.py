"""Which answered requests used what: joined from the spans when it is asked for, so that nothing of it is kept twice.

A retriever's span holds the passages that it found (`id` is `document#number`, `document`) and, in its attributes, the digest
of the index that it searched. Spans from before that attribute are matched by their release instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from tidemill.telemetry import genai
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.row import encode_value
from tidemill.telemetry.schema.spans import attribute_text

_EVALUATED: Final = "evaluation != ''"
_IN_EVALUATION: Final = f"trace_id IN (SELECT trace_id FROM spans WHERE project = {{project:String}} AND root AND {_EVALUATED})"  # noqa: S608  (bound parameters)
_INDEX: Final = attribute_text(genai.INDEX)
_SEARCHED: Final = (
    f"project = {{project:String}} AND kind = 'retriever' AND"
    f" ({_INDEX} IN {{indexes:Array(String)}} OR ({_INDEX} = '' AND release IN {{releases:Array(String)}}))"
)
_FOUND: Final = (
    "position(output, {written:String}) > 0 AND"
    " has(arrayMap(hit -> JSONExtractString(hit, {field:String}), JSONExtractArrayRaw(output)), {wanted:String})"
)
_TIMES: Final = "toUnixTimestamp64Nano(min(start)), toUnixTimestamp64Nano(max(start))"


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """Answered requests of one release at one endpoint (empty: run without one). Times in nanoseconds since the epoch.

    `evaluated` are runs of evaluations, which `requests` leaves out.
    """

    release: str
    endpoint: str
    requests: int
    evaluated: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """What is looked for: a document's id, or with `chunk` one numbered piece of it; in indexes by digest."""

    document: str
    indexes: Sequence[str]
    releases: Sequence[str]
    chunk: int | None = None

    def parameters(self, project: str) -> dict[str, object]:
        """What the queries are bound to."""
        wanted = self.document if self.chunk is None else f"{self.document}#{self.chunk}"
        return {
            "project": project, "indexes": list(self.indexes), "releases": list(self.releases), "wanted": wanted,
            "field": "document" if self.chunk is None else "id", "written": encode_value(wanted)[1:-1],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where one request's answer came from: releases, endpoint, and the chunks found: (index digest or empty, chunk id)."""

    trace: str
    start_ns: int
    releases: Sequence[str]
    endpoint: str
    chunks: Sequence[tuple[str, str]]


async def requests_with(engine: Engine, project: str, passage: Passage) -> Sequence[Requests]:
    """The requests in which a retriever found the passage, by release and endpoint."""
    rows = await engine.query(
        f"SELECT release, endpoint, uniqExactIf(trace_id, NOT evaluated), uniqExactIf(trace_id, evaluated), {_TIMES} FROM"  # noqa: S608  (bound parameters)
        f" (SELECT release, endpoint, trace_id, start, {_IN_EVALUATION} AS evaluated FROM spans WHERE {_SEARCHED} AND {_FOUND})"
        " GROUP BY release, endpoint ORDER BY release, endpoint",
        passage.parameters(project),
    )
    return [_requests(row) for row in rows]


async def unreadable(engine: Engine, project: str, passage: Passage) -> int:
    """How many searches of these indexes were kept too short to tell what they found."""
    rows = await engine.query(
        f"SELECT uniqExact(trace_id) FROM spans WHERE {_SEARCHED} AND startsWith(output, '\"')",  # noqa: S608  (bound parameters)
        passage.parameters(project),
    )
    return cast("int", rows[0][0])


async def newest_with(engine: Engine, project: str, passage: Passage, *, limit: int) -> Sequence[str]:
    """The newest traces in which a retriever found the passage, evaluations' left out."""
    rows = await engine.query(
        f"SELECT toString(trace_id) AS id, max(start) AS at FROM spans WHERE {_SEARCHED} AND {_FOUND}"  # noqa: S608  (bound parameters)
        f" AND NOT {_IN_EVALUATION} GROUP BY trace_id ORDER BY at DESC, id LIMIT {limit:d}",
        passage.parameters(project),
    )
    return [str(row[0]) for row in rows]


async def requests_of(engine: Engine, project: str, releases: Sequence[str]) -> Sequence[Requests]:
    """The requests that these releases answered, by release and endpoint."""
    if not releases:
        return []
    rows = await engine.query(
        f"SELECT release, endpoint, uniqExactIf(trace_id, NOT evaluated), uniqExactIf(trace_id, evaluated), {_TIMES} FROM"  # noqa: S608  (bound parameters)
        f" (SELECT release, endpoint, trace_id, start, {_EVALUATED} AS evaluated FROM spans"
        " WHERE project = {project:String} AND root AND release IN {releases:Array(String)})"
        " GROUP BY release, endpoint ORDER BY release, endpoint",
        {"project": project, "releases": list(releases)},
    )
    return [_requests(row) for row in rows]


async def origin_of(engine: Engine, project: str, trace: str) -> Origin | None:
    """Where an answer came from, by the whole id of its trace; None when there is no such trace."""
    rows = await engine.query(
        f"SELECT kind, release, endpoint, toUnixTimestamp64Nano(start), {_INDEX},"  # noqa: S608  (bound parameters)
        " if(kind = 'retriever', arrayMap(hit -> JSONExtractString(hit, 'id'), JSONExtractArrayRaw(output)), [])"
        " FROM spans WHERE project = {project:String} AND trace_id = {trace:String} ORDER BY start, span_id",
        {"project": project, "trace": trace},
    )
    if not rows:
        return None
    chunks = [(str(row[4]), chunk) for row in rows for chunk in cast("list[str]", row[5]) if chunk]
    return Origin(
        trace=trace,
        start_ns=min(cast("int", row[3]) for row in rows),
        releases=tuple(dict.fromkeys(str(row[1]) for row in rows if row[1])),
        endpoint=next((str(row[2]) for row in rows if row[2]), ""),
        chunks=tuple(dict.fromkeys(chunks)),
    )


def _requests(row: Sequence[object]) -> Requests:
    release, endpoint, requests, evaluated, first, last = row
    return Requests(
        release=str(release),
        endpoint=str(endpoint),
        requests=cast("int", requests),
        evaluated=cast("int", evaluated),
        first_ns=cast("int", first),
        last_ns=cast("int", last),
    )
