"""Who goes first when there is more to do than can be done at once: a weighted fair queue as a state machine.

Start-time fair queueing (Goyal, Vin, Cheng 1996): every call gets a virtual finish, one share of its flow after the flow's
last, and the earliest goes first, so that flows that wait share the capacity by their weights, however much each asks for. A
priority one higher doubles the weight. When the queue is full the least important is shed: of the lowest priority, of the flow
that waits with most, the newest.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Literal, TypeAlias

Why: TypeAlias = Literal["full", "waited", "gone"]
_FLOWS: Final = 4096


class Ticket:
    """One call that waits or goes. `why` says why it was shed."""

    __slots__ = ("finish", "flow", "number", "priority", "start", "state", "why")

    def __init__(self, flow: Hashable, *, priority: int, start: float, finish: float, number: int) -> None:
        self.flow = flow
        self.priority = priority
        self.start = start
        self.finish = finish
        self.number = number
        self.state: Literal["waits", "goes", "shed", "over"] = "waits"
        self.why: Why | None = None

    def __lt__(self, other: Ticket) -> bool:
        return (self.finish, self.number) < (other.finish, other.number)


class FairQueue:
    """At most `capacity` calls go at once and at most `most_waiting` wait."""

    def __init__(self, *, capacity: int, most_waiting: int) -> None:
        self.capacity = capacity
        self.most_waiting = most_waiting
        self.going = 0
        self.waiting = 0
        self._virtual = 0.0
        self._number = 0
        self._heap: list[Ticket] = []
        self._finish: OrderedDict[Hashable, float] = OrderedDict()
        self._flows: dict[int, dict[Hashable, dict[int, Ticket]]] = {}

    def enter(self, flow: Hashable, *, weight: float = 1.0, priority: int = 0) -> tuple[Ticket, Ticket | None]:
        """Ask for a place: the ticket goes, waits or is shed; and who was shed in its place, if anybody."""
        ticket = self._ticket(flow, weight, priority)
        if self.going < self.capacity and not self.waiting:
            self._go(ticket)
            return ticket, None
        shed = None
        if self.waiting >= self.most_waiting:
            shed = self._least(ticket)
            if shed is None:
                ticket.state, ticket.why = "shed", "full"
                return ticket, None
            self.drop(shed, why="full")
        self._finish[flow] = ticket.finish
        self._finish.move_to_end(flow)
        if len(self._finish) > _FLOWS:
            self._finish.popitem(last=False)
        heapq.heappush(self._heap, ticket)
        self._flows.setdefault(priority, {}).setdefault(flow, {})[ticket.number] = ticket
        self.waiting += 1
        return ticket, shed

    def leave(self, ticket: Ticket) -> Ticket | None:
        """A call is over; who goes in its place."""
        if ticket.state != "goes":
            return None
        ticket.state = "over"
        self.going -= 1
        while self.going < self.capacity and self._heap:
            following = heapq.heappop(self._heap)
            if following.state == "waits":
                self._forget(following)
                self._go(following)
                return following
        return None

    def drop(self, ticket: Ticket, *, why: Why) -> None:
        """Shed one that waits: it waited too long, or whoever asked has gone."""
        if ticket.state == "waits":
            ticket.state, ticket.why = "shed", why
            self._forget(ticket)
            if len(self._heap) > 2 * self.waiting + 64:
                self._heap = [each for each in self._heap if each.state == "waits"]
                heapq.heapify(self._heap)

    def _ticket(self, flow: Hashable, weight: float, priority: int) -> Ticket:
        self._number += 1
        start = max(self._virtual, self._finish.get(flow, 0.0))
        share = max(weight, 1e-3) * 2.0**priority
        return Ticket(flow, priority=priority, start=start, finish=start + 1.0 / share, number=self._number)

    def _go(self, ticket: Ticket) -> None:
        ticket.state = "goes"
        self.going += 1
        self._virtual = max(self._virtual, ticket.start)

    def _forget(self, ticket: Ticket) -> None:
        self.waiting -= 1
        flows = self._flows[ticket.priority]
        mine = flows[ticket.flow]
        del mine[ticket.number]
        if not mine:
            del flows[ticket.flow]
            if not flows:
                del self._flows[ticket.priority]

    def _least(self, new: Ticket) -> Ticket | None:
        """Who is shed for `new`; None when it is the least important itself."""
        lowest = min(self._flows, default=None)
        if lowest is None or new.priority < lowest:
            return None
        flows = self._flows[lowest]
        most = max(flows, key=lambda flow: len(flows[flow]))
        if new.priority == lowest and len(flows[most]) <= len(flows.get(new.flow, ())) + 1:
            return None
        return flows[most][next(reversed(flows[most]))]
