"""What counters are asked, and what they answer; `Counters` is the promise that every place that keeps them fulfils."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from tidemill.models.limits.windows import Period

Shape: TypeAlias = Literal["minute", "period", "level"]
Unit: TypeAlias = Literal["requests", "tokens", "calls", "money"]
"""`money` is billionths of a US dollar; `calls` are those that are under way."""


class Meter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One limit of one subject. Meters with the same `key` count the same things, whatever their limits.

    `soft` is where a warning is due, once in a period.
    """

    key: str
    subject: str
    shape: Shape
    unit: Unit
    limit: int
    period: Period | None = None
    soft: int | None = None


class Claim(msgspec.Struct, kw_only=True, gc=False):
    """What a call wants of a meter. `key` is the meter's with the id of its period, so that every period counts apart."""

    meter: Meter
    key: str
    amount: int


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a meter stands: what is used and held, and in how many seconds it begins anew (None: never)."""

    meter: Meter
    used: int
    reset: float | None = None

    @property
    def remaining(self) -> int:
        """What is left; never below 0."""
        return max(0, self.meter.limit - self.used)


class Grant(msgspec.Struct, kw_only=True):
    """Leave to go ahead: every claim is reserved.

    `slots` says where, for those that slide; `source` who gave it, `holder` under which name it is held there.
    """

    claims: Sequence[Claim]
    standings: Sequence[Standing]
    slots: Sequence[int]
    source: object = None
    holder: str = ""


class Shortage(msgspec.Struct, kw_only=True):
    """No leave: nothing is reserved. `meter` is the first that has too little.

    `gone`: what was really used leaves no room; else what others hold may be given back. `retry_after` is in seconds, None
    when waiting does not help.
    """

    meter: Meter
    used: int
    amount: int
    gone: bool
    retry_after: float | None
    standings: Sequence[Standing] = ()


class Unseeded(msgspec.Struct, kw_only=True):
    """Nothing is known of these claims' periods: `seed` them with what is kept, and ask again."""

    claims: Sequence[Claim]


class Counters(Protocol):
    """Where meters are counted. Every method is atomic for all that is asked at once, across whoever shares the counters."""

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none. Raises `Unavailable` when the counters cannot be reached."""
        ...

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to, in the claims' order; what each meter then counts as used (of a level: under way).

        What was held is given back; nothing falls below 0. Of a claim on a level nothing stays. Raises `Unavailable`.
        """
        ...

    async def seed(self, used: Mapping[str, int]) -> None:
        """Raise what is counted as used in each period, by a claim's key, to at least this. Raises `Unavailable`."""
        ...

    async def close(self) -> None:
        """Let go of what is held, and of connections."""
        ...
