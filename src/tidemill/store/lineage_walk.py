"""Walking the lineage graph: breadth first by integer ids, a bounded number of links read for a page.

A page is over the links that were there when the first one was asked for, so that pages do not shift while links are added.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Column, Connection, bindparam, exists, func, select
from sqlalchemy.sql import Select

from tidemill.core.errors import Invalid
from tidemill.store.lineage import lineage_edges, lineage_nodes
from tidemill.store.upsert import in_batches

Direction: TypeAlias = Literal["up", "down"]
DEEPEST: Final = 100
_READ_FIRST: Final = 12_000
_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})\.([0-9]{1,9})")


class Edge(NamedTuple):
    """A link between two points, by their ids."""

    source: int
    target: int
    relation: str
    at_ns: int


@dataclass(kw_only=True, slots=True)
class Walked:
    """What a walk met: `depths` by id in the order met, the starts first with 0; and the links among them.

    `truncated` says that there is more; `next` is the cursor that goes on there. `ends` have nothing beyond them.
    """

    depths: dict[int, int] = field(default_factory=dict[int, int])
    edges: list[Edge] = field(default_factory=list[Edge])
    truncated: bool = False
    next: str | None = None
    ends: frozenset[int] = frozenset()


def walk(
    db: Connection,
    starts: Sequence[int],
    direction: Direction,
    *,
    depth: int = DEEPEST,
    limit: int = 200,
    cursor: str | None = None,
    without: Collection[str] = (),
    reads: int = _READ_FIRST,
) -> Walked:
    """The points up or down from `starts`, nearest first: at most `limit` besides the starts, `depth` links away.

    Links of the relations in `without` are passed over. With `cursor` the starts are left out and the page goes on after the
    one before.
    """
    snapshot, skip, reads = _read_cursor(cursor) if cursor else (_newest_edge(db), 0, reads)
    found = _search(db, starts, direction, depth=depth, most=skip + limit, snapshot=snapshot, reads=reads, without=without)
    ids = list(found.depths)
    first = len(set(starts))
    shown = ids[first + skip : first + skip + limit] if cursor else ids[: first + limit]
    walked = Walked(depths={each: found.depths[each] for each in shown}, truncated=found.truncated)
    kept = set(shown)
    met = set(ids)
    walked.edges = [
        each for each in found.edges if (each.source in kept or each.target in kept) and {each.source, each.target} <= met
    ]
    if walked.truncated:
        walked.next = f"{snapshot}.{skip + len([each for each in shown if each not in set(starts)])}.{reads * 2}"
    walked.ends = frozenset(shown) - frozenset(_going_on(db, shown, direction))
    return walked


def reach(
    db: Connection, starts: Iterable[int], direction: Direction, *, without: Collection[str] = (), most: int
) -> tuple[list[int], bool]:
    """Everything up or down from `starts` and these themselves, about `most` of it; and whether there is more."""
    met = dict.fromkeys(starts)
    frontier = list(met)
    near, far = _ends(direction)
    query = select(far).distinct().where(near.in_(bindparam("points", expanding=True))).limit(most + 1)
    if without:
        query = query.where(lineage_edges.c.relation.not_in(sorted(without)))
    while frontier:
        following: dict[int, None] = {}
        for batch in in_batches(frontier):
            for (other,) in db.execute(query, {"points": batch}):
                if other not in met:
                    following[other] = None
            if len(met) + len(following) > most:
                return [*met, *following][:most], True
        met |= following
        frontier = list(following)
    return list(met), False


def _search(
    db: Connection,
    starts: Sequence[int],
    direction: Direction,
    *,
    depth: int,
    most: int,
    snapshot: int,
    reads: int,
    without: Collection[str],
) -> Walked:
    found = Walked(depths=dict.fromkeys(starts, 0))
    wanted = len(found.depths) + most
    frontier, left = list(found.depths), reads
    for level in range(1, depth + 1):
        following: list[int] = []
        for edge in edges_of(db, frontier, direction, snapshot=snapshot, most=left + 1):
            left -= 1
            if left < 0:
                found.truncated = True
                return found
            if edge.relation in without:
                continue
            other = edge.target if direction == "down" else edge.source
            if other not in found.depths:
                if len(found.depths) >= wanted:
                    found.truncated = True
                    return found
                found.depths[other] = level
                following.append(other)
            found.edges.append(edge)
        frontier = following
        if not frontier:
            return found
    found.truncated = False
    return found


def edges_of(
    db: Connection, points: Sequence[int], direction: Direction, *, snapshot: int | None = None, most: int
) -> Iterator[Edge]:
    """The links that leave these points downwards, or come to them, at most so many."""
    left = most
    for batch in in_batches(points):
        if left <= 0:
            return
        values = {"points": batch, "most": left, "snapshot": snapshot if snapshot is not None else 2**62}
        for row in db.execute(_EDGES[direction], values):
            left -= 1
            yield Edge._make(row)


def _edges(direction: Direction) -> Select[Any, Any, Any, Any]:
    at = lineage_edges.c
    near, far = _ends(direction)
    query = select(at.source, at.target, at.relation, at.at_ns)
    here = near.in_(bindparam("points", expanding=True))
    return query.where(here, at.id <= bindparam("snapshot")).order_by(near, far).limit(bindparam("most"))


def _ends(direction: Direction) -> tuple[Column[Any], Column[Any]]:
    at = lineage_edges.c
    return (at.source, at.target) if direction == "down" else (at.target, at.source)


_EDGES: Final[Mapping[Direction, Select[Any, Any, Any, Any]]] = {"down": _edges("down"), "up": _edges("up")}


def _going_on(db: Connection, points: Sequence[int], direction: Direction) -> Iterator[int]:
    """Those of the points that have a link in this direction."""
    near = lineage_edges.c.source if direction == "down" else lineage_edges.c.target
    for batch in in_batches(points):
        query = select(lineage_nodes.c.id).where(lineage_nodes.c.id.in_(batch), exists().where(near == lineage_nodes.c.id))
        yield from db.execute(query).scalars()


def _newest_edge(db: Connection) -> int:
    return db.execute(select(func.max(lineage_edges.c.id))).scalar() or 0


def _read_cursor(cursor: str) -> tuple[int, int, int]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Invalid(f"cursor {cursor[:80]!r} is not one of this list", hint="Pass on what `next` said, unchanged.")
    return int(match[1]), int(match[2]), min(int(match[3]), 2**30)
