"""Asking a target that is left alone something small from time to time, so that no caller has to try it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from tidemill.core.chat import ChatRequest
from tidemill.core.clock import Clock
from tidemill.core.errors import FailureKind, TidemillError
from tidemill.core.json import Json
from tidemill.core.parts import Message
from tidemill.core.records import Version
from tidemill.models.routing.endings import kind_of
from tidemill.models.routing.spec import Route
from tidemill.models.routing.state import TargetState

Ping: TypeAlias = Callable[[Version, str, str], Awaitable[None]]
"""(model, project, environment): ask something small. Raises what a call raises."""


class Healing:
    """The health probes that are under way, one task a target. Belongs to one event loop; `close` it there."""

    def __init__(self, *, ping: Ping | None, clock: Clock) -> None:
        self._ping = ping
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def under_way(self) -> int:
        """Targets that are looked after."""
        return len(self._tasks)

    def begin(self, route: Route, model: Version, state: TargetState, *, project: str, environment: str) -> None:
        """Look after a target until it answers; nothing, where that is done already."""
        if self._ping is None or id(state) in self._tasks:
            return
        task = asyncio.create_task(self._until_well(self._ping, route, model, state, project, environment))
        self._tasks[id(state)] = task
        task.add_done_callback(lambda _: self._tasks.pop(id(state), None))

    async def close(self) -> None:
        """Stop."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_well(
        self, ping: Ping, route: Route, model: Version, state: TargetState, project: str, environment: str
    ) -> None:
        every = 1.0 if route.health is None else route.health.every
        while True:
            pause = state.breaker.wait(self._clock.monotonic())
            await asyncio.sleep(pause if 0 < pause < every else every)
            if state.breaker.state(self._clock.monotonic()) == "closed":
                return
            leave = state.breaker.admit(self._clock.monotonic())
            if leave is None:
                continue
            try:
                async with asyncio.timeout(route.timeout):
                    await ping(model, project, environment)
            except (TidemillError, TimeoutError) as error:
                kind: FailureKind = "timeout" if isinstance(error, TimeoutError) else kind_of(error)
                state.failures[kind] += 1
                state.breaker.failed(leave, self._clock.monotonic())
            except BaseException:
                state.breaker.abandoned(leave)
                raise
            else:
                state.breaker.succeeded(leave, self._clock.monotonic())


def ping_request() -> ChatRequest:
    """The something small of a health probe."""
    params: Mapping[str, Json] = {"max_tokens": 1}
    return ChatRequest(model="", messages=(Message.of("user", "ping"),), params=params)
