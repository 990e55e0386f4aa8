"""The fair queue on an event loop: who waits, for how long, and who is told to go."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from tidemill.core.clock import Clock
from tidemill.core.errors import DeadlineExceeded
from tidemill.models.limits.fair import FairQueue, Ticket
from tidemill.models.limits.refusing import shed


class Places:
    """Places for calls. `most_wait` is in seconds. Belongs to one event loop."""

    def __init__(self, *, capacity: int, most_waiting: int, most_wait: float, clock: Clock) -> None:
        self.queue = FairQueue(capacity=capacity, most_waiting=most_waiting)
        self._most_wait = most_wait
        self._clock = clock
        self._woken: dict[int, asyncio.Future[None]] = {}

    async def take(self, flow: Hashable, *, weight: float, priority: int, deadline: float | None) -> Ticket:
        """A place, now or in turn. `deadline` is in monotonic seconds. Raises `Overloaded` and `DeadlineExceeded`."""
        ticket, pushed_out = self.queue.enter(flow, weight=weight, priority=priority)
        if pushed_out is not None:
            self._wake(pushed_out)
        if ticket.state == "waits":
            await self._wait(ticket, deadline)
        if ticket.state == "shed":
            raise shed(ticket.why or "full", waited=self._most_wait)
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """The call is over; the next one goes."""
        following = self.queue.leave(ticket)
        if following is not None:
            self._wake(following)

    async def _wait(self, ticket: Ticket, deadline: float | None) -> None:
        woken = self._woken[ticket.number] = asyncio.get_running_loop().create_future()
        left = self._most_wait if deadline is None else deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(left, self._most_wait))):
                await woken
        except TimeoutError as error:
            if ticket.state == "waits":
                self.queue.drop(ticket, why="waited")
                if left < self._most_wait:
                    raise DeadlineExceeded(
                        "the time that the caller allows was over before it was its turn", hint="Allow more time."
                    ) from error
        except BaseException:
            self.queue.drop(ticket, why="gone")
            self.give_back(ticket)  # when it was told to go in the same moment
            raise
        finally:
            del self._woken[ticket.number]

    def _wake(self, ticket: Ticket) -> None:
        woken = self._woken.get(ticket.number)
        if woken is not None and not woken.done():
            woken.set_result(None)
