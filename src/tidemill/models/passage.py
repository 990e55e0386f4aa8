"""What a call holds while it is on its way, and gives back exactly once: leave from the limits, a place in the cache."""

from __future__ import annotations

import msgspec

from tidemill.core.chat import ChatResponse, Usage
from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError
from tidemill.core.parts import Message
from tidemill.core.records import Version
from tidemill.models import annotate
from tidemill.models.attempts import Opened
from tidemill.models.calls import Cache, Call, Hit, Limiter, Permit, Routed, Router, Slot, Spent
from tidemill.models.checks.requests import screen_request
from tidemill.models.checks.screen import HEADER, Screen
from tidemill.models.estimate import estimated_input, estimated_output
from tidemill.models.stream import ChatResult
from tidemill.pricing.prices import cost_of

_NOTHING = Usage()


class Passage:
    """After `enter` one of `kept`, `finished`, `failed` and `broken` is called; of several the first counts."""

    __slots__ = ("_clock", "_open", "_permit", "_router", "_slot", "call", "hit")

    def __init__(self, call: Call, router: Router, clock: Clock) -> None:
        self.call = call
        self.hit: Hit | None = None
        self._clock = clock
        self._router = router
        self._permit: Permit | None = None
        self._slot: Slot | None = None
        self._open = True

    async def enter(self, limiter: Limiter | None, cache: Cache | None) -> None:
        """Pass the limits and guardrails, then look for a kept answer. Raises what they refuse with; nothing is held then."""
        call = self.call
        if limiter is not None:
            self._permit = await limiter.admit(call)
        if cache is None and call.screen is None:
            return
        try:
            if call.screen is not None:
                await screen_request(call, call.screen)
            found = None if cache is None else await cache.look(call)
        except BaseException:
            self._release()
            raise
        if isinstance(found, Hit):
            self.hit = found
        else:
            self._slot = found

    def kept(self, result: ChatResult) -> None:
        """A kept answer is given: it costs nothing."""
        if self._open:
            self._open = False
            if self._permit is not None:
                self._permit.settle(Spent(usage=_NOTHING, cost=0.0, saved=result.saved))

    def finished(self, result: ChatResult, *, model: Version, provider: str) -> None:
        """The answer is whole."""
        if not self._open:
            return
        self._open = False
        if self._slot is not None:
            if self.call.screen is None or self.call.screen.is_sure:
                self._slot.put(result)
            else:
                self._slot.drop(None)
        response = result.response
        name = response.model or str(model.spec.get("model") or model.name)
        spent = Spent(usage=response.usage, cost=result.cost, provider=provider, served=name)
        if response.usage == _NOTHING and self._permit is not None:
            spent = self._estimated(response, provider, name)
            annotate.note_spent(self.call.span, spent)
        if self._permit is not None:
            self._permit.settle(self._whole(spent))
        self._router.settled(self.call, model, spent, seconds=result.latency_ms / 1000)

    def failed(self, error: BaseException) -> None:
        """Nothing of an answer came. Whoever left while a provider was asked has used what was asked."""
        if not self._open:
            return
        self._open = False
        known = error if isinstance(error, TidemillError) else None
        if self._slot is not None:
            self._slot.drop(known)
        if self._permit is None:
            return
        if known is None and self.hit is None:
            usage = Usage(input_tokens=estimated_input(self.call))
            self._permit.settle(Spent(usage=usage, cost=None, estimated=True, cancelled=True))
        else:
            self._permit.release()

    def broken(
        self,
        response: ChatResponse,
        error: BaseException,
        *,
        model: Version,
        provider: str,
        name: str,
        shown: ChatResponse | None = None,
    ) -> None:
        """The answer broke off, or whoever asked has gone; what had come counts. `shown` is as much of it as may be told."""
        if not self._open:
            return
        self._open = False
        known = error if isinstance(error, TidemillError) else None
        annotate.note_response(self.call.span, response if shown is None else shown)
        if self._slot is not None:
            self._slot.drop(None)  # those who wait have seen nothing of it, so they may still be served
        spent = self._estimated(response, provider, response.model or name, error=known, cancelled=known is None)
        annotate.note_spent(self.call.span, spent)
        if self._permit is not None:
            self._permit.settle(self._whole(spent))
        seconds = self._clock.monotonic() - self.call.started
        self._router.settled(self.call, model, spent, seconds=seconds)

    def used(self, response: ChatResponse) -> Usage:
        """What an answer that was stopped came to: as it was reported, and counted here as far as it was not."""
        usage = response.usage
        return msgspec.structs.replace(
            usage,
            input_tokens=usage.input_tokens or estimated_input(self.call),
            output_tokens=max(usage.output_tokens, estimated_output(response)),
        )

    def _whole(self, spent: Spent) -> Spent:
        """With what the attempts cost that gave no answer."""
        if not self.call.wasted:
            return spent
        return msgspec.structs.replace(spent, cost=(spent.cost or 0.0) + self.call.wasted)

    def _estimated(
        self,
        response: ChatResponse,
        provider: str,
        name: str,
        *,
        error: TidemillError | None = None,
        cancelled: bool = False,
    ) -> Spent:
        usage, estimated = response.usage, False
        if usage == _NOTHING:
            usage = Usage(input_tokens=estimated_input(self.call), output_tokens=estimated_output(response))
            estimated = True
        cost = cost_of(provider, name, usage)
        return Spent(
            usage=usage, cost=cost, provider=provider, served=name, estimated=estimated, error=error, cancelled=cancelled
        )

    def _release(self) -> None:
        self._open = False
        if self._permit is not None:
            self._permit.release()


async def screen_answer(passage: Passage, routed: Routed[Opened], screen: Screen) -> None:
    """Let guardrails read an answer that has come whole. Raises `Unavailable` where one cannot; what was used counts."""
    opened = routed.answer
    response = opened.response
    if response is None or not screen.outputs:
        return
    try:
        opened.response = await screen.answer(response)
    except BaseException as error:
        provider, nothing = opened.connection.provider, ChatResponse(message=Message(role="assistant"))
        passage.broken(response, error, model=routed.model, provider=provider, name=opened.model, shown=nothing)
        raise
    passage.call.notes[HEADER] = screen.header
