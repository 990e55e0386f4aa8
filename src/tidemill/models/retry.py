"""Trying again: when, how often, and after how long."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from tidemill.core.clock import Clock
from tidemill.core.errors import StorageFull, TidemillError, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often one call is tried, and how long it waits in between.

    The wait doubles from `first_delay` to `longest_delay` seconds, less up to half by chance, so that callers do not come back
    together. A provider's `Retry-After` takes its place. No attempt begins later than `deadline` seconds after the first.
    """

    attempts: int = 3
    first_delay: float = 0.25
    longest_delay: float = 8.0
    deadline: float = 30.0
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, error: TidemillError) -> float:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`."""
        if error.retry_after is not None:
            return error.retry_after * (1 + self.jitter() / 10)
        return self.pause(attempt)

    def pause(self, attempt: int) -> float:
        """The same where the provider named no time."""
        return min(self.longest_delay, self.first_delay * 2 ** (attempt - 1)) * (1 - self.jitter() / 2)


@dataclass(kw_only=True, slots=True)
class RetryBudget:
    """Keeps what is asked a second time from drowning a provider: each spends one, what goes well earns `share`, up to `most`.

    As in gRPC's retry throttling (A6). Hedged requests are held to one of their own.
    """

    most: float = 100.0
    left: float = field(default=100.0)
    share: float = 0.1

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def earn(self) -> None:
        """Note what went well."""
        self.left = min(self.most, self.left + self.share)


def can_retry(error: TidemillError) -> bool:
    """Whether the same call may succeed later. A wrong key, a bad request or a full disk will not mend by itself."""
    return isinstance(error, Unavailable) and not isinstance(error, StorageFull)


async def retrying(
    work: Callable[[], Awaitable[T]], *, policy: RetryPolicy, budget: RetryBudget, clock: Clock
) -> tuple[T, int]:
    """Do `work`, again after an error that may pass; what it returned and the number of attempts."""
    started = clock.monotonic()
    for attempt in range(1, policy.attempts + 1):
        try:
            result = await work()
        except TidemillError as error:
            delay = policy.delay(attempt, error)
            late = clock.monotonic() - started + delay > policy.deadline
            if attempt == policy.attempts or not can_retry(error) or late or not budget.spend():
                raise
            await anyio.sleep(delay)
        else:
            budget.earn()
            return result, attempt
    raise AssertionError("a policy allows at least one attempt")
