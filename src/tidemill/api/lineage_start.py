"""Where a question about lineage begins: points of the graph, or what is joined to it: a request, feedback, a chunk, a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection as Database
from sqlalchemy import select

from tidemill.api.caller import Caller
from tidemill.api.lineage_view import View
from tidemill.api.times import iso
from tidemill.core.errors import NotFound
from tidemill.core.json import Json
from tidemill.store import feedback, jobs, registry
from tidemill.store.lineage import Point, lineage_edges, lineage_nodes
from tidemill.store.lineage_impact import holding_chunk
from tidemill.store.lineage_notes import find_point, of_version
from tidemill.store.lineage_refs import Named, resolve
from tidemill.store.lineage_walk import Direction
from tidemill.telemetry.questions.lineage import Origin

_MOST_CHUNKS: Final = 200


@dataclass(kw_only=True, slots=True)
class Start:
    """`ref` is what was asked for. A walk begins at `ids`, which stand `offset` links from it; `view` is what is joined."""

    ref: str
    kind: str
    named: Named
    view: View = field(default_factory=View)
    up: list[int] = field(default_factory=list[int])
    down: list[int] = field(default_factory=list[int])
    up_offset: int = 0
    down_offset: int = 0

    def ids(self, direction: Direction) -> tuple[list[int], int]:
        """Where to begin in this direction, and how far that is from what was asked for."""
        return (self.up, self.up_offset) if direction == "up" else (self.down, self.down_offset)


async def start_of(call: Caller, written: str, *, by_artifact: bool = False) -> Start:
    """Where a question about what is `written` begins. Raises `Invalid`, or `NotFound` with the nearest name."""
    database, project = call.platform.database, call.project
    named = await database.read(lambda db: resolve(db, project, written, by_artifact=by_artifact))
    ref = named.point.ref if named.chunk is None else f"{named.point.ref}#{named.chunk}"
    start = Start(ref=ref, kind=named.point.kind, named=named, up=[*named.ids], down=[*named.ids])
    if named.point.kind == "trace":
        await _join_trace(call, start, named.point.key)
    elif named.point.kind == "feedback":
        said = await database.read(lambda db: feedback.get_feedback(db, project, named.point.key))
        await _join_feedback(call, start, said)
    elif named.chunk is not None:
        await database.read(lambda db: _join_chunk(db, project, start, named.chunk or 0))
    elif named.point.kind == "job":
        await database.read(lambda db: _join_job(db, project, start))
    elif not named.ids:
        start.view.put(ref, named.point.kind, depth=0)
    return start


async def _join_trace(call: Caller, start: Start, written: str) -> None:
    """A request: from the release that answered and the documents that were found for it, to what was said of it."""
    origin = await call.platform.telemetry.origin_of(call.project, written)
    if origin is None:
        raise NotFound(f"no trace {written} in project {call.project}", hint="Type: tidemill traces list")
    start.ref = f"trace/{origin.trace}"

    def work(db: Database) -> None:
        point = Point(kind="trace", key=origin.trace)
        start.named = Named(point=point, ids=tuple(_ids(db, call.project, [point]).values()))
        start.down = [*start.named.ids]
        about: dict[str, Any] = {"endpoint": f"endpoint/{origin.endpoint}"} if origin.endpoint else {}
        start.view.put(start.ref, "trace", depth=0, first=iso(origin.start_ns), about=about)
        start.up, start.up_offset = _join_origin(db, call.project, start.view, origin, depth=1), 1
        for each in feedback.list_feedback(db, call.project, trace_ids=[origin.trace]):
            _put_feedback(start.view, each, depth=1)
            start.view.link(start.ref, f"feedback/{each.id}", "said", each.created_ns)

    await call.platform.database.read(work)


async def _join_feedback(call: Caller, start: Start, said: feedback.Feedback) -> None:
    _put_feedback(start.view, said, depth=0)
    trace = f"trace/{said.trace_id}"
    start.view.link(trace, start.ref, "said", said.created_ns)
    start.up = []
    try:
        origin = await call.platform.telemetry.origin_of(call.project, said.trace_id)
    except NotFound:
        origin = None
    start.view.put(trace, "trace", depth=1, state="" if origin else "erased", first=iso(origin.start_ns) if origin else None)
    if origin is not None:
        found = origin
        start.up_offset = 2
        start.up = await call.platform.database.read(lambda db: _join_origin(db, call.project, start.view, found, depth=2))


def _put_feedback(view: View, said: feedback.Feedback, *, depth: int) -> None:
    about: dict[str, Json] = {"kind": said.kind, "name": said.name, "value": said.value if said.kind == "thumbs" else None}
    shown = {key: value for key, value in about.items() if value}
    state = "replaced" if said.replaced_by else ""
    first = iso(said.created_ns)
    view.put(f"feedback/{said.id}", "feedback", depth=depth, first=first, by=said.user or said.source, state=state, about=shown)


def _join_origin(db: Database, project: str, view: View, origin: Origin, *, depth: int) -> list[int]:
    """Link a request to its release and documents; the points where the graph goes on from there."""
    trace = f"trace/{origin.trace}"
    releases = registry.find_by_digests(db, project, list(origin.releases), kind="release") if origin.releases else []
    found = {each.ref: of_version(each) for each in releases}
    for digest in set(origin.releases) - {each.digest for each in releases}:
        view.put(f"release {digest}", "release", depth=depth, state="not kept", digest=digest)
        view.link(f"release {digest}", trace, "answered", origin.start_ns)
    for ref in found:
        view.link(ref, trace, "answered", origin.start_ns)
    names = _index_names(db, project, origin, releases)
    for index, chunk in origin.chunks[:_MOST_CHUNKS]:
        document = chunk.rpartition("#")[0]
        for name in names.get(index, ()):
            point = Point(kind="document", key=f"{name}#{document}")
            found[point.ref] = point
            view.link(point.ref, trace, "retrieved", origin.start_ns)
    ids = _ids(db, project, found.values())
    missing = {each.source for each in view.edges if each.target == trace} - set(view.nodes)
    for ref in missing - {found_ref for found_ref, point in found.items() if (point.kind, point.key) in ids}:
        view.put(ref, "document" if "#" in ref else "release", depth=depth, state="erased")
    return list(ids.values())


def _index_names(db: Database, project: str, origin: Origin, releases: Sequence[Any]) -> Mapping[str, Sequence[str]]:
    """The names of the indexes that were searched, by digest; with none told, those that the release locks."""
    searched = sorted({index for index, _ in origin.chunks if index})
    names: dict[str, list[str]] = {}
    for each in registry.find_by_digests(db, project, searched, kind="index") if searched else ():
        names.setdefault(each.digest, []).append(each.name)
    locked = [written for each in releases for written in each.spec.get("artifacts", {}) if str(written).startswith("index/")]
    names[""] = sorted({str(each).removeprefix("index/").partition("@")[0] for each in locked})
    return names


def _join_chunk(db: Database, project: str, start: Start, number: int) -> None:
    document, indexes = start.named.point, _indexes(db, start.named.ids)
    holding = holding_chunk(db, project, document.key.partition("#")[2], number, indexes)
    if not holding:
        raise NotFound(f"{document.ref} has no chunk {number}", hint=f"See the document: tidemill lineage {document.ref}")
    start.kind = "chunk"
    start.view.put(start.ref, "chunk", depth=0)
    start.view.link(document.ref, start.ref, "cut_into")
    start.up_offset = start.down_offset = 1
    start.down = holding
    at = lineage_nodes.c
    for row in db.execute(select(at.id, at.label).where(at.id.in_(holding))):
        start.view.link(start.ref, f"index/{row.label}", "indexed")


def _indexes(db: Database, documents: Iterable[int]) -> list[int]:
    at = lineage_edges.c
    query = select(at.target).where(at.source.in_(list(documents)), at.relation == "indexed").order_by(at.target)
    return list(db.execute(query).scalars())


def _join_job(db: Database, project: str, start: Start) -> None:
    """A job: from what it was given to what it made."""
    job = jobs.get_job(db, project, start.named.point.key)
    start.view.put(start.ref, "job", depth=0, first=iso(job.created_ns), state=job.status, about={"job": job.kind})
    result: Mapping[str, Json] = job.result if isinstance(job.result, Mapping) else {}
    made = _points(db, project, {key: result.get(key) for key in ("adapter", "model", "index", "dataset", "release")})
    made |= _points(db, project, {key: job.payload.get(key) for key in ("evaluation", "index")})
    given = _points(db, project, {key: each for key, each in job.payload.items() if key not in {"evaluation", "index"}})
    given = {ref: point for ref, point in given.items() if ref not in made}
    start.up, start.down = list(_ids(db, project, given.values()).values()), list(_ids(db, project, made.values()).values())
    start.up_offset = start.down_offset = 1
    for ref in given:
        start.view.link(ref, start.ref, "given")
    for ref in made:
        start.view.link(start.ref, ref, "made")


def _points(db: Database, project: str, written: Mapping[str, Json]) -> dict[str, Point]:
    found: dict[str, Point] = {}
    for key, value in written.items():
        if not isinstance(value, str):
            continue
        point = Point(kind="evaluation", key=value) if key == "evaluation" else _any_point(db, project, value)
        if point is not None:
            found[point.ref] = point
    return found


def _any_point(db: Database, project: str, value: str) -> Point | None:
    if value.startswith("sha256:"):
        version = registry.find_by_digest(db, project, value)
        return None if version is None else of_version(version)
    return find_point(db, project, value)


def _ids(db: Database, project: str, points: Iterable[Point]) -> dict[tuple[str, str], int]:
    wanted: dict[str, list[str]] = {}
    for each in points:
        wanted.setdefault(each.kind, []).append(each.key)
    at = lineage_nodes.c
    found: dict[tuple[str, str], int] = {}
    for kind, keys in wanted.items():
        query = select(at.id, at.key).where(at.project == project, at.kind == kind, at.key.in_(keys)).order_by(at.id)
        found |= {(kind, row.key): row.id for row in db.execute(query)}
    return found
