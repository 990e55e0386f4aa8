"""The shortest line between two points of the lineage graph: a breadth-first search from both ends, the cheaper side first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection, func, select

from tidemill.store.lineage import lineage_edges
from tidemill.store.lineage_walk import DEEPEST, Direction, Edge, edges_of

_MOST: Final = 200_000
_COUNTED: Final = 20_000
_LOOKED_AT: Final = 400
Answer: TypeAlias = Literal["found", "none", "undecided"]


@dataclass(frozen=True, slots=True)
class PathFound:
    """`points` from the one to the other, `edges` between them; nothing when there is no way, or it was not decided."""

    answer: Answer
    points: tuple[int, ...] = ()
    edges: tuple[Edge, ...] = ()


class _Side:
    """One end of the search: what it has met, and the link by which."""

    def __init__(self, starts: Sequence[int], direction: Direction) -> None:
        self.direction: Direction = direction
        self.by: dict[int, Edge | None] = dict.fromkeys(starts)
        self.frontier = list(self.by)
        self._cost: int | None = None

    def go_on(self, frontier: list[int]) -> None:
        """Take the next step from these."""
        self.frontier, self._cost = frontier, None

    def cost(self, db: Connection) -> int:
        """About how many links the next step reads, counted up to a bound."""
        if self._cost is None:
            self._cost = self._count(db)
        return self._cost

    def _count(self, db: Connection) -> int:
        near = lineage_edges.c.source if self.direction == "down" else lineage_edges.c.target
        some = self.frontier[:_LOOKED_AT]
        found = select(near).where(near.in_(some)).limit(_COUNTED).subquery()
        return db.execute(select(func.count()).select_from(found)).scalar_one() * len(self.frontier) // max(1, len(some))

    def other(self, edge: Edge) -> int:
        """The end of a link that is farther from this side's start."""
        return edge.target if self.direction == "down" else edge.source

    def near(self, edge: Edge) -> int:
        """The end of a link that is nearer to this side's start."""
        return edge.source if self.direction == "down" else edge.target


def shortest(db: Connection, sources: Sequence[int], targets: Sequence[int], *, most: int = _MOST) -> PathFound:
    """The shortest way down from one of `sources` to one of `targets`; `undecided` when `most` links did not settle it."""
    same = set(sources) & set(targets)
    if same:
        return PathFound("found", (min(same),))
    down, up = _Side(sources, "down"), _Side(targets, "up")
    left = most
    for _ in range(2 * DEEPEST):
        if not down.frontier or not up.frontier:
            return PathFound("none")
        side, far = (down, up) if down.cost(db) <= up.cost(db) else (up, down)
        following: list[int] = []
        meeting: int | None = None
        for edge in edges_of(db, side.frontier, side.direction, most=left + 1):
            left -= 1
            if left < 0:
                return PathFound("undecided")
            reached = side.other(edge)
            if reached not in side.by:
                side.by[reached] = edge
                following.append(reached)
                if reached in far.by:
                    meeting = reached
                    break
        if meeting is not None:
            return _joined(down, up, meeting)
        side.go_on(following)
    return PathFound("undecided")


def _joined(down: _Side, up: _Side, meeting: int) -> PathFound:
    before = _back(down, meeting)
    after = _back(up, meeting)
    edges = (*reversed(before), *after)
    points = (edges[0].source, *(each.target for each in edges)) if edges else (meeting,)
    return PathFound("found", points, edges)


def _back(side: _Side, point: int) -> list[Edge]:
    """The links from a point back to the side's start, nearest the point first."""
    found: list[Edge] = []
    while (edge := side.by[point]) is not None:
        found.append(edge)
        point = side.near(edge)
    return found
