"""The way of a call that goes by no route: to the model that was asked for, again after an error that may pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from tidemill.core.clock import Clock
from tidemill.core.records import Version
from tidemill.models.calls import Attempt, Call, Routed, Spent
from tidemill.models.reach import Reach
from tidemill.models.retry import RetryPolicy, retrying

T = TypeVar("T")


class Direct:
    """A `Router` without routes."""

    def __init__(self, *, reach: Reach, policy: RetryPolicy, clock: Clock) -> None:
        self._reach = reach
        self._policy = policy
        self._clock = clock

    async def run(self, call: Call, attempt: Attempt[T]) -> Routed[T]:
        """Ask the model of the call, as often as the policy and the connection's budget allow."""
        policy, left = self._policy, call.caller.left(self._clock.monotonic())
        if left is not None and left < policy.deadline:
            policy = replace(policy, deadline=left)
        budget = self._reach.budget(call.caller.project, call.model)
        answer, attempts = await retrying(lambda: attempt(call.model), policy=policy, budget=budget, clock=self._clock)
        return Routed(answer=answer, model=call.model, attempts=attempts)

    def settled(self, call: Call, model: Version, spent: Spent, *, seconds: float) -> None:
        """Nothing is learnt from it."""
