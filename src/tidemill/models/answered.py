"""An answer that has begun: whole, as deltas, or as the provider's own bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from tidemill.core.chat import ChatDelta, ChatResponse
from tidemill.core.clock import Clock
from tidemill.core.errors import Conflict, DeadlineExceeded, TidemillError, Unavailable
from tidemill.core.extend import AnswerReader, RawAnswer
from tidemill.models import annotate
from tidemill.models.assemble import Assembly
from tidemill.models.attempts import Opened
from tidemill.models.calls import Hit, Routed
from tidemill.models.checks.screen import HEADER, Screen
from tidemill.models.checks.stream import Screened
from tidemill.models.passage import Passage
from tidemill.models.raw import Unasked
from tidemill.models.replay import replayed
from tidemill.models.stream import ChatResult
from tidemill.models.whole_lines import WholeLines
from tidemill.pricing.prices import cost_of

T = TypeVar("T")
_NO_HEADERS: Final[Mapping[str, str]] = {}
_MOMENT: Final = 1.0  # seconds
_BEGUN: Final = "The answer had begun, so nothing else was asked."


class Answered:
    """Iterate `pieces` where `is_raw`, else `deltas`, once and to the end; then `result` is there. Else `aclose`.

    A whole answer has its `result` at once, and may be taken as deltas too.
    """

    __slots__ = ("_clock", "_deadline", "_opened", "_passage", "_result", "_routed")

    def __init__(self, passage: Passage, routed: Routed[Opened] | None, clock: Clock) -> None:
        self._passage = passage
        self._routed = routed
        self._opened = None if routed is None else routed.answer
        self._clock = clock
        self._deadline = passage.call.caller.deadline
        self._result: ChatResult | None = None
        if passage.hit is not None:
            self._kept(passage.hit)
        elif routed is not None and routed.answer.response is not None:
            self._finish(routed.answer, routed.answer.response, first=False)

    @property
    def is_raw(self) -> bool:
        """Whether the provider's own bytes are passed on."""
        return self._opened is not None and self._opened.raw is not None

    @property
    def headers(self) -> Mapping[str, str]:
        """The provider's headers that mean something to a client; empty where its bytes are not passed on."""
        return _NO_HEADERS if self._opened is None or self._opened.raw is None else self._opened.raw.headers

    @property
    def notes(self) -> Mapping[str, str]:
        """What limits, cache and routing want to say in headers."""
        return self._passage.call.notes

    @property
    def result(self) -> ChatResult:
        """The whole answer. Raises `Conflict` before its end, and after one that failed."""
        if self._result is None:
            raise Conflict("the answer has not ended", hint="Iterate to its end, then read result.")
        return self._result

    async def deltas(self) -> AsyncGenerator[ChatDelta]:
        """The answer in pieces."""
        if self._result is not None:
            for delta in replayed(self._result.response):
                yield delta
            return
        opened, assembly = self._began(), Assembly()
        source = opened.source
        if source is None:
            raise Conflict("the answer is passed on as it is", hint="Iterate pieces.")
        screen = self._passage.call.screen
        if screen is not None and screen.outputs:
            async with contextlib.aclosing(self._screened(opened, source, screen)) as screened:
                async for delta in screened:
                    yield delta
            return
        try:
            for delta in opened.deltas:
                assembly.add(delta)
                yield delta
            async for delta in source if self._deadline is None else self._in_time(source, self._deadline):
                assembly.add(delta)
                yield delta
            if assembly.finish_reason is None:
                raise _ended_early(opened)
        except BaseException as error:
            self._broke(opened, assembly.response(), error)
            raise
        finally:
            await opened.close()
        self._finish(opened, assembly.response(), first=True)

    async def _screened(self, opened: Opened, source: AsyncIterator[ChatDelta], screen: Screen) -> AsyncGenerator[ChatDelta]:
        """The answer in pieces, as guardrails let it pass: `heard` is what came, `shown` what went on."""
        heard, shown, screened = Assembly(), Assembly(), Screened(screen, now=self._clock.monotonic)
        try:
            async with contextlib.aclosing(screened.deltas(self._heard(opened, source, heard))) as deltas:
                async for delta in deltas:
                    shown.add(delta)
                    self._passage.call.notes[HEADER] = screen.header
                    yield delta
            if shown.finish_reason is None:
                raise _ended_early(opened)
        except BaseException as error:
            self._broke(opened, heard.response(), error, shown=shown.response())
            raise
        finally:
            await opened.close()
        response = shown.response()
        if screened.is_blocked:  # the provider was stopped, so it has not said what it used
            response = replace(response, usage=self._passage.used(heard.response()))
        self._finish(opened, response, first=True)

    async def _heard(self, opened: Opened, source: AsyncIterator[ChatDelta], heard: Assembly) -> AsyncGenerator[ChatDelta]:
        for delta in opened.deltas:
            heard.add(delta)
            yield delta
        async for delta in source if self._deadline is None else self._in_time(source, self._deadline):
            heard.add(delta)
            yield delta

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The provider's own bytes."""
        opened = self._began()
        raw = opened.raw
        if raw is None:
            raise Conflict("the answer is not passed on as it is", hint="Iterate deltas.")
        reader, strip, lines = raw.reader, self._stripping(), self._lines(raw)
        try:
            async for piece in self._passed(opened, raw):
                asked = piece if strip is None else strip.pass_on(piece)
                yield asked if lines is None else lines.pass_on(asked)
            _check_whole(reader, opened)
            rest = b"" if strip is None else strip.rest()
            yield rest if lines is None else lines.pass_on(rest) + lines.rest()
        except BaseException as error:
            self._broke(opened, reader.response(), error)
            raise
        finally:
            await opened.close()
        if reader.error is None:
            self._finish(opened, reader.response(), first=self._passage.call.stream)
        else:  # the client has read it in the provider's own words
            self._passage.call.span.set(error=reader.error.message)
            self._broke(opened, reader.response(), reader.error)

    async def _passed(self, opened: Opened, raw: RawAnswer) -> AsyncGenerator[bytes]:
        """What came already, then the rest as it comes, read beside."""
        for piece in opened.held:
            yield piece
        if not self._passage.call.stream:
            return
        reader = raw.reader
        if not reader.ended:
            async for piece in raw.chunks if self._deadline is None else self._in_time(raw.chunks, self._deadline):
                reader.feed(piece)
                yield piece
                if reader.ended:
                    break
        with contextlib.suppress(TimeoutError):  # what still comes, such as an empty line; who does not hang up is left
            async with asyncio.timeout(_MOMENT):
                async for piece in raw.chunks:
                    yield piece

    async def aclose(self) -> None:
        """Let go; the provider is told by closing the connection. After the end it does nothing."""
        opened = self._opened
        if self._result is not None or opened is None:
            return
        assembly = Assembly()
        for delta in opened.deltas:
            assembly.add(delta)
        response = assembly.response() if opened.raw is None else opened.raw.reader.response()
        screen = self._passage.call.screen
        shown = Assembly().response() if screen is not None and screen.outputs else None
        self._broke(opened, response, asyncio.CancelledError(), shown=shown)
        await opened.close()

    def _began(self) -> Opened:
        if self._opened is None:
            raise Conflict("a kept answer is not passed on as it is", hint="Iterate deltas, or read result.")
        return self._opened

    def _lines(self, raw: RawAnswer) -> WholeLines | None:
        """What holds half a line back: an event that says why the stream broke off may have to follow."""
        is_text = raw.headers.get("content-type", "").startswith("text/")
        return WholeLines() if self._passage.call.stream and is_text else None

    def _stripping(self) -> Unasked | None:
        raw = self._passage.call.raw
        return None if raw is None or raw.counts or not raw.stream else Unasked()

    async def _in_time(self, source: AsyncIterator[T], deadline: float) -> AsyncGenerator[T]:
        """The rest of a stream, as long as the caller's deadline allows."""
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    each = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise DeadlineExceeded("the time that the caller allows is over", hint=_BEGUN, kind="timeout") from error
            yield each

    def _finish(self, opened: Opened, response: ChatResponse, *, first: bool) -> None:
        passage, routed, now = self._passage, self._routed, self._clock.monotonic()
        if routed is None:
            return
        call, provider = passage.call, opened.connection.provider
        result = ChatResult(
            response=response,
            cost=cost_of(provider, response.model or opened.model, response.usage),
            latency_ms=(now - call.started) * 1000,
            first_token_ms=(opened.at - call.started) * 1000 if first else None,
            connection=opened.connection.name,
            attempts=routed.attempts,
            model=routed.model.bare,
            guardrails=_NO_HEADERS if call.screen is None else call.screen.verdicts,
        )
        if routed.attempts > 1 or routed.model is not call.model:
            annotate.note_served(call.span, model=opened.model, connection=opened.connection)
        annotate.note_result(call.span, result)
        self._result = result
        passage.finished(result, model=routed.model, provider=provider)

    def _kept(self, hit: Hit) -> None:
        call = self._passage.call
        call.notes["x-tidemill-cache"] = "hit"
        call.notes["x-tidemill-cache-by"] = hit.by
        if hit.saved is not None:
            call.notes["x-tidemill-saved"] = f"{hit.saved:.10f}".rstrip("0").rstrip(".")
        if call.screen is not None:
            call.screen.keep()
            call.notes[HEADER] = call.screen.header
        result = ChatResult(
            response=hit.response,
            cost=0.0,
            latency_ms=(self._clock.monotonic() - call.started) * 1000,
            first_token_ms=None,
            connection="",
            attempts=0,
            model=call.model.bare,
            cached=hit.by,
            saved=hit.saved,
            guardrails=_NO_HEADERS if call.screen is None else call.screen.verdicts,
        )
        annotate.note_kept(call.span, result)
        self._result = result
        self._passage.kept(result)

    def _broke(
        self, opened: Opened, response: ChatResponse, error: BaseException, *, shown: ChatResponse | None = None
    ) -> None:
        if isinstance(error, TidemillError) and _BEGUN not in error.hint:
            error.hint = f"{error.hint} {_BEGUN}".strip()
        model = self._passage.call.model if self._routed is None else self._routed.model
        provider = opened.connection.provider
        self._passage.broken(response, error, model=model, provider=provider, name=opened.model, shown=shown)


def _check_whole(reader: AnswerReader, opened: Opened) -> None:
    """Raise where the stream was cut off; what the provider itself said of its failure has passed."""
    if not reader.ended:
        reader.end()
    if not reader.ended and (reader.error is None or reader.error.kind == "connection"):
        raise reader.error or _ended_early(opened)


def _ended_early(opened: Opened) -> Unavailable:
    connection = opened.connection
    said = f"{connection.provider}: the stream ended early"
    return Unavailable(said, where=f"connection/{connection.name}", kind="connection")
