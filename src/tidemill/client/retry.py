"""Trying again: how often, how long, and what may be.

Waits grow exponentially with full jitter (Brooker 2015, "Exponential Backoff and Jitter"), so that clients that failed together
do not come back together; a server's `Retry-After` is the least that is waited.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import anyio
import httpx

RETRIES = 4
TIMEOUT = 300.0
_FIRST, _MOST = 0.2, 20.0
_TRANSIENT = frozenset({429, 502, 503, 504})
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.CloseError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retries:
    """A call is tried again at most `most` times, and only while it can end within `timeout` seconds of its beginning."""

    most: int = RETRIES
    timeout: float = TIMEOUT


class Trying:
    """The tries of one call. `again` waits and says whether to go on."""

    def __init__(self, retries: Retries, *, repeatable: bool) -> None:
        self._left = retries.most
        self._number = 0
        self._repeatable = repeatable
        self._deadline = anyio.current_time() + retries.timeout

    @property
    def remaining(self) -> float:
        """Seconds that the next try may take."""
        return max(0.001, self._deadline - anyio.current_time())

    async def after_error(self, error: httpx.HTTPError) -> bool:
        """Wait after an attempt without an answer; False when it is not to be made again.

        What was not sent can be sent again. A connection that broke later may have carried the request: then only what is
        `repeatable` is sent once more.
        """
        if not isinstance(error, _UNSENT) and not (self._repeatable and isinstance(error, _BROKEN)):
            return False
        return await self._wait(None)

    async def after_answer(self, response: httpx.Response) -> bool:
        """Wait after an answer that says "later"; False when it is the answer.

        Our own problem documents say by `Retry-After` whether it helps to wait; other answers are a proxy's, in front of us.
        """
        if response.status_code not in _TRANSIENT:
            return False
        asked = retry_after(response.headers.get("retry-after"), date=response.headers.get("date"))
        if asked is None and response.headers.get("content-type", "").startswith("application/problem+json"):
            return False
        return await self._wait(asked)

    async def _wait(self, asked: float | None) -> bool:
        pause = random.uniform(0, min(_MOST, _FIRST * 2**self._number))  # noqa: S311  (jitter, not a secret)
        if asked is not None:
            pause += asked
        if self._left <= 0 or anyio.current_time() + pause >= self._deadline:
            return False
        self._left -= 1
        self._number += 1
        await anyio.sleep(pause)
        return True


def retry_after(value: str | None, *, date: str | None = None) -> float | None:
    """The seconds that `Retry-After` (RFC 9110, 10.2.3) asks to wait; None when it is absent or means nothing.

    A time is held against the answer's own `date`, so that the two clocks need not agree.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return max(0.0, (until - now).total_seconds())
