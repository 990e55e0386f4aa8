"""What holds while the server that keeps the counters is away."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from tidemill.core.clock import Clock
from tidemill.core.errors import Unavailable
from tidemill.models.limits.counting import Claim, Counters, Grant, Shortage, Unseeded
from tidemill.models.limits.memory import MemoryCounters

Policy: TypeAlias = Literal["open", "closed"]
_TRIED_AGAIN: Final = 1.0  # seconds
_log = logging.getLogger(__name__)


class Guarded:
    """Counters that are elsewhere, and what is done without them.

    `open`: this process counts by itself until they are back, so that each process lets through what all may together.
    `closed`: nothing is let through. In between they are asked once a second, so that no call waits for what is away.
    """

    def __init__(self, counters: Counters, *, clock: Clock, policy: Policy) -> None:
        self._counters = counters
        self._clock = clock
        self._own = MemoryCounters(clock) if policy == "open" else None
        self._away_since: float | None = None
        self._alone: set[str] = set()

    @property
    def is_away(self) -> bool:
        """Whether the counters did not answer when they were last asked."""
        return self._away_since is not None

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none. Raises `Unavailable` when the policy is closed."""
        if self._may_ask():
            try:
                found = await self._counters.reserve(claims)
            except Unavailable as error:
                self._note_away(error)
            else:
                self._note_back()
                return await self._caught_up(claims, found)
        if self._own is None:
            raise Unavailable("the limits cannot be looked at now", hint="Try again soon.", retry_after=_TRIED_AGAIN)
        found = await self._own.reserve(claims)
        if isinstance(found, Grant):
            found.source = self._own
            self._alone.update(each.key for each in claims if each.meter.shape == "period")
        return found

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to, where it was reserved; when that is away, its periods are seeded once it is back."""
        if self._own is not None and grant.source is self._own:
            return await self._own.settle(grant, used)
        try:
            return await self._counters.settle(grant, used)
        except Unavailable as error:
            self._note_away(error)
            self._alone.update(each.key for each in grant.claims if each.meter.shape == "period")
            return [0 for _ in used]

    async def seed(self, used: Mapping[str, int]) -> None:
        """Raise what is counted in each period to at least this."""
        if self._own is not None:
            await self._own.seed(used)
        if self._may_ask():
            try:
                await self._counters.seed(used)
            except Unavailable as error:
                self._note_away(error)

    async def close(self) -> None:
        """Let go of both."""
        await self._counters.close()

    async def _caught_up(self, claims: Sequence[Claim], found: Grant | Shortage | Unseeded) -> Grant | Shortage | Unseeded:
        """What was found, or, of periods in which something was counted here alone, that they are to be seeded again."""
        alone = [each for each in claims if each.key in self._alone] if self._alone else []
        if not alone:
            if isinstance(found, Grant):
                found.source = self._counters
            return found
        if isinstance(found, Grant):
            await self._counters.settle(found, [0] * len(claims))
        self._alone.difference_update(each.key for each in alone)
        return Unseeded(claims=alone)

    def _may_ask(self) -> bool:
        if self._away_since is None:
            return True
        now = self._clock.monotonic()
        if now - self._away_since < _TRIED_AGAIN:
            return False
        self._away_since = now  # one tries, the others go on without
        return True

    def _note_away(self, error: Unavailable) -> None:
        if self._away_since is None:
            what = "nothing is let through" if self._own is None else "this process counts by itself"
            _log.warning("%s; until it is back, %s", error.message, what)
        self._away_since = self._clock.monotonic()

    def _note_back(self) -> None:
        if self._away_since is not None:
            _log.warning("the server that keeps the limits is back")
            self._away_since = None
