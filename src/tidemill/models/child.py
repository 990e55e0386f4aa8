"""Keeping the engine's process: started when first needed, started again when it died, gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections import deque
from dataclasses import dataclass

import orjson

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Unavailable

_STARTS = 5
_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where the child listens, and the key that it wants."""

    url: str
    key: str


class EngineChild:
    """One process of `tidemill.models.engine`. Belongs to one event loop.

    A child that dies is started again at the next `address`, at most five times a minute.
    """

    def __init__(
        self, model: str, *, context: int, slots: int, start_timeout: float = 60.0, clock: Clock | None = None
    ) -> None:
        self._order = {"model": model, "context": context, "slots": slots}
        self._start_timeout = start_timeout
        self._clock = clock or SystemClock()
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._address: Address | None = None
        self._starts: deque[float] = deque(maxlen=_STARTS)

    @property
    def pid(self) -> int | None:
        """The process id of the living child, else None."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def address(self) -> Address:
        """Where a living child listens. Raises `Unavailable` when none can be had."""
        async with self._lock:
            if self.pid is None or self._address is None:
                await self._stop()
                self._address = await self._start()
            return self._address

    async def close(self) -> None:
        """End the child."""
        async with self._lock:
            await self._stop()

    async def has_died(self) -> bool:
        """Whether the child is gone; a death that is being noticed right now is waited for."""
        process = self._process
        if process is None:
            return True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 0.2)
        return process.returncode is not None

    async def _start(self) -> Address:
        self._count_start()
        key = secrets.token_urlsafe(24)
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidemill.models.engine",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # so that Ctrl-C in a terminal reaches the parent alone, which may still drain
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(orjson.dumps({**self._order, "key": key}) + b"\n")
            await process.stdin.drain()
            line = await asyncio.wait_for(process.stdout.readline(), self._start_timeout)
        except (TimeoutError, ConnectionError, asyncio.CancelledError) as error:
            await self._stop()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Unavailable(f"the local engine did not start within {self._start_timeout:g} s") from error
        answer: dict[str, str] = orjson.loads(line) if line.endswith(b"\n") else {}
        if "url" not in answer:
            await self._stop()
            raise Unavailable(f"the local engine did not start: {answer.get('error', 'it ended at once')}")
        return Address(url=answer["url"], key=key)

    def _count_start(self) -> None:
        now = self._clock.monotonic()
        if len(self._starts) == _STARTS and now - self._starts[0] < _WITHIN:
            wait = _WITHIN - (now - self._starts[0])
            raise Unavailable(
                f"the local engine died {_STARTS} times within a minute",
                hint=f"Is there enough memory? It is started again in {wait:.0f} s.",
                retry_after=wait,
            )
        self._starts.append(now)

    async def _stop(self) -> None:
        process, self._process, self._address = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        # The pipes' transports are closed by the loop only once it has seen their ends.
        if process.stdin is not None:
            process.stdin.close()
        if process.stdout is not None:
            await process.stdout.read()
