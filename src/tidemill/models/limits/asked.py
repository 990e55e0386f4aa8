"""Counters that one process keeps for several of the same machine: what is asked of it, and how it answers.

`AskedCounters` asks, over whatever `Ask` brings a message there and the answer back; `KeptCounters` answers, for one of those
who ask. What one holds that has died is given back by `release`: its calls count as requests, and its places are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from tidemill.models.limits.counting import Claim, Grant, Meter, Shape, Shortage, Standing, Unit, Unseeded
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.windows import Period

RESERVE: Final = "reserve"
SETTLE: Final = "settle"
SEED: Final = "seed"
_Standing: TypeAlias = tuple[int, int, float | None]
"""Which claim, what is used, and seconds until it begins anew."""


class _Claim(msgspec.Struct, array_like=True, gc=False):
    key: str
    shape: Shape
    unit: Unit
    limit: int
    period: Period | None
    amount: int


class _Answer(msgspec.Struct, array_like=True):
    """`number` names what was granted; else `short` is the claim that has too little; else `unseeded` those to seed."""

    number: int = 0
    standings: list[_Standing] = []
    short: int = -1
    used: int = 0
    gone: bool = False
    retry_after: float | None = None
    unseeded: list[int] = []


class _Settled(msgspec.Struct, array_like=True, gc=False):
    number: int
    used: Sequence[int]


_encode = msgspec.msgpack.Encoder().encode
_read_claims = msgspec.msgpack.Decoder(list[_Claim]).decode
_read_answer = msgspec.msgpack.Decoder(_Answer).decode
_read_settled = msgspec.msgpack.Decoder(_Settled).decode
_read_counts = msgspec.msgpack.Decoder(list[int]).decode
_read_seeds = msgspec.msgpack.Decoder(dict[str, int]).decode


class Ask(Protocol):
    """Brings a message to whoever keeps the counters, and back what they answer. Raises `Unavailable`."""

    async def __call__(self, what: str, body: bytes, *, unwanted: Unwanted | None = None) -> bytes:
        """`unwanted` gets the answer when whoever asked has gone before it came."""
        ...


class Unwanted(Protocol):
    """Takes an answer that nobody waits for any more."""

    def __call__(self, body: bytes, /) -> None:
        """Undo what it says."""
        ...


class Tell(Protocol):
    """Brings a message there, and nothing back."""

    def __call__(self, what: str, body: bytes, /) -> None:
        """Send it."""
        ...


class AskedCounters:
    """Counters in another process. Belongs to one event loop."""

    def __init__(self, *, ask: Ask, tell: Tell) -> None:
        self._ask = ask
        self._tell = tell

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none. Raises `Unavailable`."""
        asked = [
            (each.key, meter.shape, meter.unit, meter.limit, meter.period, each.amount)
            for each in claims
            for meter in (each.meter,)
        ]
        answer = _read_answer(await self._ask(RESERVE, _encode(asked), unwanted=self._undo))
        standings = [Standing(meter=claims[at].meter, used=used, reset=reset) for at, used, reset in answer.standings]
        if answer.number:
            return Grant(claims=claims, standings=standings, slots=(answer.number,), source=self)
        if answer.short < 0:
            return Unseeded(claims=[claims[at] for at in answer.unseeded])
        short = claims[answer.short]
        return Shortage(
            meter=short.meter, used=answer.used, amount=short.amount, gone=answer.gone, retry_after=answer.retry_after,
            standings=standings,
        )  # fmt: skip

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to. Raises `Unavailable`."""
        return _read_counts(await self._ask(SETTLE, _encode(_Settled(grant.slots[0], used))))

    async def seed(self, used: Mapping[str, int]) -> None:
        """Say what was used in periods of which nothing is known there. Raises `Unavailable`."""
        await self._ask(SEED, _encode(dict(used)))

    async def close(self) -> None:
        """What is held goes with the connection."""

    def _undo(self, body: bytes) -> None:
        answer = _read_answer(body)
        if answer.number:
            self._tell(SETTLE, _encode(_Settled(answer.number, ())))


class KeptCounters:
    """Answers one who asks, from counters that all of them share."""

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters
        self._held: dict[int, Grant] = {}
        self._last = 0

    def answer(self, what: str, body: bytes) -> bytes:
        """What is to be answered."""
        if what == RESERVE:
            return _encode(self._reserve(_read_claims(body)))
        if what == SETTLE:
            settled = _read_settled(body)
            return _encode(self._settle(settled.number, settled.used))
        # Of a period that is counted here already nothing is missing, and what is given may be on its way here as settled, too.
        self._counters.seed_now({key: used for key, used in _read_seeds(body).items() if not self._counters.knows(key)})
        return _encode([])

    def release(self) -> None:
        """Whoever asked has died: what it held is free, and what it asked counts as far as it is known."""
        for number, grant in list(self._held.items()):
            # What a minute reserved may have been used, and is forgotten by itself; of days and money nothing is known.
            used = [
                each.amount if each.meter.shape == "minute" else int(each.meter.unit == "requests") for each in grant.claims
            ]
            self._settle(number, used)

    def _reserve(self, asked: Sequence[_Claim]) -> _Answer:
        claims = [
            Claim(
                meter=Meter(key="", subject="", shape=each.shape, unit=each.unit, limit=each.limit, period=each.period),
                key=each.key,
                amount=each.amount,
            )
            for each in asked
        ]
        found = self._counters.reserve_now(claims)
        if isinstance(found, Unseeded):
            return _Answer(unseeded=[at for at, each in enumerate(claims) if each in found.claims])
        standings = _standings(claims, found.standings)
        if isinstance(found, Grant):
            self._last += 1
            self._held[self._last] = found
            return _Answer(number=self._last, standings=standings)
        short = next(at for at, each in enumerate(claims) if each.meter is found.meter)
        return _Answer(
            standings=standings, short=short, used=found.used, gone=found.gone, retry_after=found.retry_after
        )  # fmt: skip

    def _settle(self, number: int, used: Sequence[int]) -> Sequence[int]:
        grant = self._held.pop(number, None)
        if grant is None:
            return [0 for _ in used]
        return self._counters.settle_now(grant, used or [0] * len(grant.claims))


def _standings(claims: Sequence[Claim], standings: Sequence[Standing]) -> list[_Standing]:
    places = {id(each.meter): at for at, each in enumerate(claims)}
    return [(places[id(each.meter)], each.used, each.reset) for each in standings]
