"""What a call of a model gives back: the whole result, or a stream that ends in one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Self

import msgspec

from tidemill.core.chat import ChatDelta, ChatResponse
from tidemill.core.errors import Conflict


class ChatResult(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and what it took.

    `cost` is in US dollars, None when no price is known. `latency_ms` is the caller's wait, retries included; `first_token_ms`
    is known for streams only. `connection` is the name of the connection that served it, `model` the model that answered as it
    is referred to: of a route, the one that was chosen. `cached` says how a kept answer was found (`exact`, `semantic`,
    `flight`), empty when it was made anew; `saved` is what it made unnecessary, in US dollars. `guardrails` says
    what each that read it did, by name.
    """

    response: ChatResponse
    cost: float | None
    latency_ms: float
    first_token_ms: float | None
    connection: str
    attempts: int
    model: str = ""
    cached: str = ""
    saved: float | None = None
    guardrails: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class ChatStream:
    """An answer as it arrives: iterate once, then read `result`.

    Leaving early needs `aclose` (or `async with`): it closes the connection, so that the provider stops. Nothing is sent before
    the first piece is asked for.
    """

    __slots__ = ("_deltas", "_result")

    def __init__(self, deltas: Callable[[Callable[[ChatResult], None]], AsyncGenerator[ChatDelta]]) -> None:
        self._result: ChatResult | None = None
        self._deltas = deltas(self._finish)

    def _finish(self, result: ChatResult) -> None:
        self._result = result

    @property
    def result(self) -> ChatResult:
        """The whole answer. Raises `Conflict` before the end of the stream, and after one that failed."""
        if self._result is None:
            raise Conflict("the stream has not ended", hint="Iterate to its end, then read result.")
        return self._result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatDelta:
        return await anext(self._deltas)

    async def aclose(self) -> None:
        """Stop. The provider is told by closing the connection. After the end it does nothing."""
        await self._deltas.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
