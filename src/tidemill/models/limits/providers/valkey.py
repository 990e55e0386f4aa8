"""Counters in a Valkey server, for processes that share limits: one round trip a request, exact across all of them.

One server, or one with replicas (no cluster: a call's counters are changed in one step). Each process says every few seconds
that it lives; what one held that has died counts no more after `_LIVES` seconds. When an answer does not come it is not known
whether something is held for it, so the process goes on under another name, and what it held under the old one is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, cast

from tidemill.core.clock import Clock
from tidemill.core.errors import MissingExtra, Unavailable
from tidemill.models.limits.counting import Claim, Grant, Meter, Shortage, Standing, Unseeded
from tidemill.models.limits.providers import scripts
from tidemill.models.limits.windows import SLOTS, seconds_left

_LIVES: Final = 15  # seconds
_BEATS: Final = 4.0  # seconds
_AGAIN: Final = 1.0  # seconds, when only what others hold is in the way
_MINUTE_KEPT: Final = 180  # seconds
_KEPT: Final = 7 * 86_400  # seconds, of levels and of all time
_DAY: Final = 86_400
_NAMES: Final = 100
_PREFIX: Final = "tidemill:limits:"
_Reply: TypeAlias = list[object]


class ValkeyCounters:
    """Belongs to one event loop. `time` gives seconds in place of the server's clock, for tests.

    `timeout` is in seconds, for connecting and for each answer.
    """

    def __init__(
        self, url: str, *, clock: Clock, process: str | None = None, timeout: float = 0.25, time: Clock | None = None
    ) -> None:
        try:
            from valkey.asyncio import Valkey  # noqa: PLC0415  (an extra)
            from valkey.exceptions import ValkeyError  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise MissingExtra("valkey", needed_for="sharing limits between processes") from error
        self._errors = (ValkeyError, OSError, TimeoutError)
        self._server = Valkey.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, decode_responses=True)
        self._reserve = self._server.register_script(scripts.RESERVE)
        self._settle = self._server.register_script(scripts.SETTLE)
        self._seed = self._server.register_script(scripts.SEED)
        self._clock = clock
        self._time = time
        self._process = process or secrets.token_hex(8)
        self._before: list[str] = []
        self._beating: asyncio.Task[None] | None = None
        self._beaten = float("-inf")

    async def reserve(self, claims: Sequence[Claim]) -> Grant | Shortage | Unseeded:
        """Reserve every claim, or none. Raises `Unavailable`."""
        await self._live()
        holder = self._process
        arguments = self._head(holder)
        for each in claims:
            meter = each.meter
            arguments += (meter.shape, str(meter.limit), str(each.amount), str(self._kept(meter)))
        reply = cast("_Reply", await self._run(self._reserve, [_PREFIX + each.key for each in claims], arguments))
        if reply[0] == "granted":
            _, slots, counts, now = reply
            standings = self._standings(claims, cast("list[str]", counts), float(str(now)))
            return Grant(claims=claims, standings=standings, slots=cast("list[int]", slots), holder=holder)
        if reply[0] == "unseeded":
            return Unseeded(claims=[claims[index - 1] for index in cast("list[int]", reply[1])])
        return self._shortage(claims, reply)

    async def settle(self, grant: Grant, used: Sequence[int]) -> Sequence[int]:
        """Say what each claim came to. Raises `Unavailable`."""
        arguments = self._head(grant.holder)
        for claim, slot, each in zip(grant.claims, grant.slots, used, strict=True):
            arguments += (claim.meter.shape, str(slot), str(claim.amount), str(each))
        reply = await self._run(self._settle, [_PREFIX + each.key for each in grant.claims], arguments)
        return [int(str(each)) for each in cast("_Reply", reply)]

    async def seed(self, used: Mapping[str, int]) -> None:
        """Raise what is counted in each period to at least this. Raises `Unavailable`."""
        if used:
            arguments = [text for amount in used.values() for text in (str(max(0, amount)), str(_KEPT))]
            await self._run(self._seed, [_PREFIX + key for key in used], arguments)

    async def close(self) -> None:
        """Say that this process is gone, so that what it held is free at once, and disconnect."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None
        with contextlib.suppress(*self._errors):  # then it is forgotten by itself
            await self._server.delete(f"{_PREFIX}alive:{self._process}")
        await self._server.aclose()

    def _head(self, holder: str) -> list[str]:
        now = "" if self._time is None else repr(self._time.monotonic())
        return [now, holder, f"{_PREFIX}alive:"]

    async def _run(self, script: object, keys: Sequence[str], arguments: Sequence[str]) -> object:
        try:
            return await script(keys=keys, args=arguments)  # pyright: ignore  # noqa: PGH003  (the client has no types for it)
        except self._errors as error:
            self._before = [*self._before, self._process][-_NAMES:]
            self._process, self._beaten = secrets.token_hex(8), float("-inf")
            raise Unavailable("the server that keeps the limits does not answer", hint="Look at its address.") from error

    async def _live(self) -> None:
        """Say that this process lives, before its first call and while it goes on."""
        if self._clock.monotonic() - self._beaten < _LIVES / 2:
            return
        await self._beat()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_on())

    async def _beat(self) -> None:
        began = self._clock.monotonic()
        try:
            await self._server.set(f"{_PREFIX}alive:{self._process}", "1", ex=_LIVES)
            if self._before:
                await self._server.delete(*(f"{_PREFIX}alive:{each}" for each in self._before))
                self._before = []
        except self._errors as error:
            raise Unavailable("the server that keeps the limits does not answer", hint="Look at its address.") from error
        self._beaten = began

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(_BEATS)
            try:
                await self._beat()
            except Unavailable:
                continue  # calls say so; this goes on until it is back

    def _shortage(self, claims: Sequence[Claim], reply: _Reply) -> Shortage:
        _, index, is_gone, wait, counts, now = reply
        claim = claims[int(str(index)) - 1]
        meter, gone = claim.meter, bool(is_gone)
        retry: float | None = None
        if meter.shape == "minute":
            retry = float(str(wait)) if wait else None
        elif claim.amount <= meter.limit:
            retry = self._reset(meter, 0.0) if gone else _AGAIN
        shown = cast("list[str]", counts)
        standings = self._standings(claims, shown, float(str(now)))
        used = int(shown[int(str(index)) - 1])
        return Shortage(meter=meter, used=used, amount=claim.amount, gone=gone, retry_after=retry, standings=standings)

    def _standings(self, claims: Sequence[Claim], counts: Sequence[str], now: float) -> Sequence[Standing]:
        return [
            Standing(meter=claim.meter, used=int(count), reset=self._reset(claim.meter, now))
            for claim, count in zip(claims, counts, strict=True)
            if claim.meter.shape != "level"
        ]

    def _reset(self, meter: Meter, now: float) -> float | None:
        return int(now) + SLOTS - now if meter.period is None else seconds_left(meter.period, self._clock.now_ns())

    def _kept(self, meter: Meter) -> int:
        if meter.shape == "minute":
            return _MINUTE_KEPT
        left = None if meter.period is None else seconds_left(meter.period, self._clock.now_ns())
        return _KEPT if left is None else int(left) + _DAY
