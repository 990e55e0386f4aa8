"""Run events of other systems: kept once each, and their jobs and datasets put into the lineage graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from tidemill.core.errors import Invalid, NotFound, TidemillError
from tidemill.core.json import Json
from tidemill.core.refs import is_digest
from tidemill.store import audit
from tidemill.store.lineage import Link, Point, record
from tidemill.store.lineage_events import lineage_events
from tidemill.store.lineage_format import Event, Place, namespace_of, read_event
from tidemill.store.lineage_refs import resolve
from tidemill.store.upsert import insert_new


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """How many events were kept, how many were known, and those refused: their place from 0, and why."""

    kept: int = 0
    known: int = 0
    refused: Sequence[tuple[int, str]] = field(default_factory=tuple)


def take_events(db: Connection, project: str, values: Sequence[Json], *, by: str, now_ns: int) -> Taken:
    """Keep the events that are right; of one that is not, nothing is kept. One with the same run, type and time is known."""
    kept = known = 0
    refused: list[tuple[int, str]] = []
    for number, value in enumerate(values):
        try:
            event = read_event(value)
            points, links = _graph_of(db, project, event)
        except TidemillError as error:
            refused.append((number, f"{error.message}. {error.hint}".rstrip(". ") if error.hint else error.message))
            continue
        key = {"project": project, "run": event.run, "type": event.type, "at": event.at}
        if db.execute(select(lineage_events.c.run).filter_by(**key)).first() is not None:
            known += 1
            continue
        job = f"{event.job.namespace}#{event.job.name}"
        insert_new(db, lineage_events, [{**key, "job": job, "body": event.body, "received_ns": now_ns}])
        record(db, project, points=points, links=links, now_ns=event.at_ns)
        kept += 1
    if kept:
        detail = {"kept": kept, "known": known, "refused": len(refused)}
        audit.append(db, project, who=by, action="lineage.take", target=f"project/{project}", detail=detail, now_ns=now_ns)
    return Taken(kept=kept, known=known, refused=refused)


def _graph_of(db: Connection, project: str, event: Event) -> tuple[list[Point], list[Link]]:
    """The job between what it read and what it wrote. Raises `NotFound` for a dataset of ours that is not there."""
    if event.job.namespace == namespace_of(project):
        raise Invalid("the event is of this project itself, which knows it", hint="Send events of other systems.")
    job = Point(kind="external", key=f"job:{event.job.key}", attributes={"type": "job", "namespace": event.job.namespace})
    points: list[Point] = [job]
    links: list[Link] = []
    for each in event.inputs:
        data = _dataset(db, project, each, points, links, is_input=True)
        links.append(Link(source=data, target=job, relation="read"))
    for each in event.outputs:
        data = _dataset(db, project, each, points, links, is_input=False)
        links.append(Link(source=job, target=data, relation="wrote"))
    return points, links


def _dataset(db: Connection, project: str, place: Place, points: list[Point], links: list[Link], *, is_input: bool) -> Point:
    """The point of a dataset: ours where its namespace is the project's, else one of its own, tied to ours by its symlinks."""
    ours = namespace_of(project)
    if place.namespace == ours:
        return _own(db, project, place.name, place.version)
    point = Point(kind="external", key=place.key, attributes={"type": "dataset", "namespace": place.namespace})
    points.append(point)
    for namespace, name in place.same:
        if namespace == ours:
            same = _own(db, project, name, place.version)
            links.append(Link(source=same, target=point, relation="same_as") if is_input else _same(point, same))
    return point


def _same(point: Point, same: Point) -> Link:
    return Link(source=point, target=same, relation="same_as")


def _own(db: Connection, project: str, name: str, version: str) -> Point:
    is_versioned = "@" not in name and (is_digest(version) or (version[:1] == "v" and version[1:].isdecimal()))
    found = resolve(db, project, f"{name}@{version}" if is_versioned else name)
    if not found.ids:
        raise NotFound(f"{name} stands in no lineage")
    return found.point
