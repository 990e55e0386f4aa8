"""The shortest line between two points of the lineage graph: a breadth-first search from both ends, the cheaper side first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import Connection, bindparam, func, select

from tidemill.store.lineage import lineage_edges
from tidemill.store.lineage_walk import Direction, Edge
from tidemill.store.upsert import in_batches

_MOST: Final = 50_000
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
    """One end of the search: how many steps from it everything that it has met is."""

    def __init__(self, starts: Sequence[int], direction: Direction) -> None:
        self.direction: Direction = direction
        self.met = dict.fromkeys(starts, 0)
        self.frontier = list(self.met)
        self._steps = 0
        self._cost: int | None = None
        at = lineage_edges.c
        self._near, self._far = (at.source, at.target) if direction == "down" else (at.target, at.source)

    def cost(self, db: Connection) -> int:
        """About how many links the next step reads."""
        if self._cost is None:
            some = self.frontier[:_LOOKED_AT]
            found = select(self._near).where(self._near.in_(some)).limit(_COUNTED).subquery()
            counted = db.execute(select(func.count()).select_from(found)).scalar_one()
            self._cost = counted * len(self.frontier) // max(1, len(some))
        return self._cost

    def step(self, db: Connection, *, most: int) -> int:
        """Go one link on from the frontier, and return how many links were read: more than `most` when it gave up."""
        self._steps, self._cost = self._steps + 1, None
        query = select(self._far).where(self._near.in_(bindparam("points", expanding=True)))
        following: dict[int, int] = {}
        read = 0
        for batch in in_batches(self.frontier):
            found = db.execute(query.limit(most - read + 1), {"points": batch}).scalars().all()
            following |= dict.fromkeys([each for each in found if each not in self.met], self._steps)
            read += len(found)
            if read > most:
                return read
        self.met |= following
        self.frontier = list(following)
        return read

    def back(self, db: Connection, point: int) -> list[Edge]:
        """The links from a point that was met back to the start, nearest the point first."""
        found: list[Edge] = []
        at = lineage_edges.c
        links = select(at.source, at.target, at.relation, at.at_ns).order_by(self._near, at.relation)
        while self.met[point] > 0:
            wanted = self.met[point] - 1
            for row in db.execute(links.where(self._far == point)):
                edge = Edge._make(row)
                nearer = edge.source if self.direction == "down" else edge.target
                if self.met.get(nearer) == wanted:
                    found.append(edge)
                    point = nearer
                    break
        return found


def shortest(db: Connection, sources: Sequence[int], targets: Sequence[int], *, most: int = _MOST) -> PathFound:
    """The shortest way down from one of `sources` to one of `targets`; `undecided` when `most` links did not settle it."""
    down, up = _Side(sources, "down"), _Side(targets, "up")
    meeting = down.met.keys() & up.met.keys()
    left = most
    while not meeting:
        if not down.frontier or not up.frontier:
            return PathFound("none")
        side = down if down.cost(db) <= up.cost(db) else up
        left -= side.step(db, most=left)
        if left < 0:
            return PathFound("undecided")
        meeting = set(side.frontier) & (up if side is down else down).met.keys()
    point = min(meeting, key=lambda each: (down.met[each] + up.met[each], each))
    edges = (*reversed(down.back(db, point)), *up.back(db, point))
    return PathFound("found", (edges[0].source, *(each.target for each in edges)) if edges else (point,), edges)
