"""Lineage: what a thing was made of, what was made of it, and what stands on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Body, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Caller, Limit, Page, page
from tidemill.api.cursors import seal
from tidemill.api.lineage_impact import impact_json
from tidemill.api.lineage_start import Start, start_of
from tidemill.api.lineage_view import View, by_artifact, only_kinds
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, dump_json
from tidemill.store.lineage_in import Taken, take_events
from tidemill.store.lineage_out import list_events
from tidemill.store.lineage_path import PathFound, shortest
from tidemill.store.lineage_show import show
from tidemill.store.lineage_walk import DEEPEST, Direction, walk
from tidemill.store.page import Page as StorePage
from tidemill.store.projects import ensure_project

router = Router(tags=["lineage"])
Of = Annotated[str, Query(max_length=4200)]
By = Literal["version", "artifact"]
_MOST_EVENTS: Final = 1000
_IN_ONE_READ: Final = 500
_WORDS: Final = "The answer holds the nearest; go on with the cursor, or ask for fewer kinds or a smaller depth."


class Question(BaseModel):
    """How to walk: `kinds` (comma-separated) shows these only; `ends` only those with nothing beyond them, roots or leaves."""

    of: str = Field(max_length=4200)
    direction: Literal["up", "down", "both"] = "both"
    depth: int = Field(DEEPEST, ge=1, le=DEEPEST)
    kinds: str | None = None
    by: By = "version"
    ends: bool = False
    limit: int = Field(200, ge=1, le=1000)
    cursor: str | None = None


@router.get("/lineage")
async def get_lineage(call: AnyCaller, question: Annotated[Question, Query()]) -> dict[str, Any]:
    """What `of` was made of (`up`) and what was made of it (`down`), as nodes and edges, the nearest first.

    `truncated` says that there is more than `limit`; `next` is the cursor for it, in one direction.
    """
    direction, by, cursor = question.direction, question.by, question.cursor
    if cursor is not None and direction == "both":
        raise Invalid("a cursor goes on in one direction", where="direction", hint="Ask for direction=up or direction=down.")
    start = await start_of(call, question.of, by_artifact=by == "artifact")
    asked: tuple[Direction, ...] = ("up", "down") if direction == "both" else (direction,)
    view, truncated, following = View(), False, None
    for each in asked:
        part, more = await _walked(call, start, each, question)
        if question.kinds or question.ends:
            part = _narrowed(part, question.kinds, each, root=start.ref, ends=question.ends)
        for ref, node in part.nodes.items():
            view.nodes.setdefault(ref, node)
        view.edges += part.edges
        truncated, following = truncated or more is not None, more
    shown = by_artifact(view) if by == "artifact" else view
    return {
        "of": start.named.point.ref if by == "artifact" and start.named.artifact else start.ref,
        "direction": direction, "by": by, **shown.as_json(), "truncated": truncated,
        "note": _WORDS if truncated else None, "next": seal(following) if len(asked) == 1 else None,
    }  # fmt: skip


@router.get("/lineage/impact")
async def get_impact(call: AnyCaller, of: Of, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> dict[str, Any]:
    """What stands on `of`: indexes, releases, endpoints (the live ones first) and answered requests, with counts and times.

    `limit` bounds how many of each kind are listed, not what is counted. For a document, `used` counts the requests in which a
    retriever found a piece of it, and `served` those that releases holding it answered at all.
    """
    return await impact_json(call, await start_of(call, of, by_artifact=True), limit=limit)


@router.get("/lineage/path")
async def get_path(
    call: AnyCaller,
    from_: Annotated[str, Query(alias="from", max_length=4200)],
    to: Annotated[str, Query(max_length=4200)],
) -> dict[str, Any]:
    """The shortest line between two things, in either direction. A bare artifact stands for any of its versions."""
    first = await start_of(call, from_, by_artifact=True)
    last = await start_of(call, to, by_artifact=True)

    def work(db: Database) -> tuple[PathFound, str | None, View]:
        found, direction = shortest(db, first.down, last.up), "down"
        a, b = first, last
        if found.answer == "none":
            found, direction = shortest(db, last.down, first.up), "up"
            a, b = last, first
        view = _path_view(db, call, found, a, b)
        return found, direction if found.answer == "found" else None, view

    found, direction, view = await call.platform.database.read(work)
    return {"from": first.ref, "to": last.ref, "answer": found.answer, "direction": direction, **view.as_json()}


@router.get("/lineage/openlineage", response_model=None)
async def list_openlineage(
    call: AnyCaller,
    since: str | None = None,
    format: Literal["json", "ndjson"] = "json",  # noqa: A002  (the field's own word)
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page | StreamingResponse:
    """What happened here as OpenLineage run events, oldest first; with `format=ndjson` all of them, one a line.

    `since` is a time, or so long ago as in `24h`. A page may hold up to twice `limit` events: a start and its end together.
    """
    from_ns = since_ns(since, now_ns=call.platform.clock.now_ns()) or 0

    async def next_page(after: str | None, size: int) -> StorePage[Mapping[str, Any]]:
        return await call.platform.database.read(
            lambda db: list_events(db, call.project, since_ns=from_ns, limit=size, cursor=after)
        )

    found = await next_page(cursor, limit)
    if format == "json":
        return page(list(found.items), found.next)

    async def lines() -> AsyncIterator[bytes]:
        part = found
        while True:
            yield b"".join(dump_json(each) + b"\n" for each in part.items)
            if part.next is None:
                return
            part = await next_page(part.next, _IN_ONE_READ)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/lineage/openlineage")
async def take_openlineage(call: AnyCaller, body: Annotated[Any, Body()]) -> dict[str, Any]:
    """Take one OpenLineage run event or a list of them: what is right is kept, what is not is refused, each with its reason.

    The same run, type and time again is known, and changes nothing.
    """
    events = cast("Sequence[Json]", body) if isinstance(body, list) else [cast("Json", body)]
    if len(events) > _MOST_EVENTS:
        raise Invalid(f"{len(events)} events are too many at once", hint=f"Send at most {_MOST_EVENTS}.")
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Taken:
        ensure_project(db, call.project, now_ns=now_ns)
        return take_events(db, call.project, events, by=call.who, now_ns=now_ns)

    taken = await call.platform.database.write(work)
    refused = [{"event": number, "reason": reason} for number, reason in taken.refused]
    return {"kept": taken.kept, "known": taken.known, "refused": refused}


def _path_view(db: Database, call: Caller, found: PathFound, first: Start, last: Start) -> View:
    """The points of a path with what is joined to either end of it."""
    view = View()
    if found.answer != "found":
        return view
    shown = show(db, call.project, found.points, now_ns=call.platform.clock.now_ns())
    refs = {each: point.ref for each, point in shown.items()}
    ends = [(first, refs[found.points[0]]), (last, refs[found.points[-1]])]
    joined = [
        next((e for e in end.view.edges if {e.source, e.target} == {end.ref, ref}), None) if end.ref != ref else None
        for end, ref in ends
    ]
    depth = 0
    if joined[0] is not None:
        view.nodes[first.ref] = {**first.view.nodes[first.ref], "depth": 0}
        view.edges.append(joined[0])
        depth = 1
    for number, point in enumerate(shown.values()):
        view.add(point, depth=depth + number)
    for edge in found.edges:
        view.link(refs[edge.source], refs[edge.target], edge.relation, edge.at_ns)
    if joined[1] is not None:
        view.nodes[last.ref] = {**last.view.nodes[last.ref], "depth": depth + len(shown)}
        view.edges.append(joined[1])
    return view


async def _walked(call: Caller, start: Start, direction: Direction, question: Question) -> tuple[View, str | None]:
    ids, offset = start.ids(direction)
    depth, limit, cursor = question.depth, question.limit, question.cursor

    def work(db: Database) -> tuple[View, str | None]:
        found = walk(db, ids, direction, depth=max(depth - offset, 0), limit=limit, cursor=cursor)
        wanted = {*found.depths, *(each.source for each in found.edges), *(each.target for each in found.edges)}
        shown = show(db, call.project, wanted, now_ns=call.platform.clock.now_ns())
        view = View()
        if cursor is None:
            _put_joined(view, start, direction, depth=depth)
        for each, distance in found.depths.items():
            if each in shown and distance + offset <= depth:
                view.add(shown[each], depth=distance + offset, end=each in found.ends)
        for edge in found.edges:
            if edge.source in shown and edge.target in shown:
                view.link(shown[edge.source].ref, shown[edge.target].ref, edge.relation, edge.at_ns)
        if cursor is None:
            view.edges = [each for each in view.edges if each.source in view.nodes and each.target in view.nodes]
        return view, found.next

    return await call.platform.database.read(work)


def _put_joined(view: View, start: Start, direction: Direction, *, depth: int) -> None:
    """What is joined to the start on this side of it."""
    reached, front = {start.ref: 0}, [start.ref]
    for level in range(1, depth + 1):
        following: list[str] = []
        for edge in start.view.edges:
            near, far = (edge.target, edge.source) if direction == "up" else (edge.source, edge.target)
            if near in front:
                view.edges.append(edge)
                if far not in reached:
                    reached[far] = level
                    following.append(far)
        front = following
    for ref, level in reached.items():
        if ref in start.view.nodes:
            view.nodes[ref] = {**start.view.nodes[ref], "depth": level}


def _narrowed(view: View, kinds: str | None, direction: Direction, *, root: str, ends: bool) -> View:
    wanted = {each.strip() for each in kinds.split(",") if each.strip()} if kinds else {n["kind"] for n in view.nodes.values()}
    roots = {ref for ref, node in view.nodes.items() if node["depth"] == 0} | {root}
    if ends:
        last = {ref for ref, node in view.nodes.items() if node["end"] and node["kind"] in wanted}
        hidden = {ref: {**node, "kind": ""} for ref, node in view.nodes.items() if ref not in last | roots}
        narrowed = only_kinds(View(nodes={**view.nodes, **hidden}, edges=view.edges), wanted, direction, keep=roots)
        return View(nodes={ref: view.nodes[ref] for ref in narrowed.nodes}, edges=narrowed.edges)
    return only_kinds(view, wanted, direction, keep=roots)
