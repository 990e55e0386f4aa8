"""A streamed answer as guardrails let it pass: text a little later, calls of tools when they are whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec

from tidemill.core.chat import ChatDelta, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.errors import Unavailable
from tidemill.models.checks.guardrail import Blocked
from tidemill.models.checks.hold import Held, Span
from tidemill.models.checks.look import Look
from tidemill.models.checks.said import in_arguments, in_fields, in_part
from tidemill.models.checks.screen import Screen

_Kind: TypeAlias = Literal["text", "reasoning", "refusal"]
_LARGEST_CALLS: Final = 4 * 2**20  # characters
_PAUSE: Final = "\n\n"
"""Between what was said and why it is not said on."""


@dataclass(slots=True)
class _Answer:
    """One of the answers. `after` has what is to follow the text up to a place in it."""

    index: int
    kind: _Kind = "text"
    held: Held | None = None
    after: list[tuple[int, ChatDelta]] = field(default_factory=list[tuple[int, ChatDelta]])
    calls: dict[int, ToolCallDelta] = field(default_factory=dict[int, ToolCallDelta])
    called: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    is_changed: bool = False
    thought_changed: bool = False
    ended: bool = False

    def piece(self, text: str) -> ChatDelta:
        if self.kind == "text":
            return ChatDelta(choice=self.index, text=text)
        if self.kind == "reasoning":
            return ChatDelta(choice=self.index, reasoning=text)
        return ChatDelta(choice=self.index, refusal=text)


class Screened:
    """Passes deltas on as the output guardrails of a `Screen` let them. `now` gives monotonic seconds."""

    def __init__(self, screen: Screen, *, now: Callable[[], float]) -> None:
        self.is_blocked = False
        self._screen = screen
        self._now = now
        self._answers: dict[int, _Answer] = {}
        self._begun = False
        self._model: str | None = None
        self._fingerprint: str | None = None
        self._usage: Usage | None = None
        outputs = screen.outputs
        self._characters = max(each.characters for each in outputs)
        self._seconds = max(each.seconds for each in outputs)
        readers = {each: [one for one in outputs if one.reads_all is each] for each in (False, True)}
        self._readers = [(reads_all, found) for reads_all, found in readers.items() if found]
        self._reads_all = bool(readers[True])

    async def deltas(self, source: AsyncIterator[ChatDelta]) -> AsyncGenerator[ChatDelta]:
        """The pieces that may go on. What is blocked ends them with `content_filter`; then `is_blocked`.

        Raises `Unavailable` where a guardrail cannot look, and whatever `source` raises. Closing it stops reading.
        """
        self._screen.begin(self._screen.outputs)
        try:
            async with aclosing(self._passing(source)) as passing:
                async for delta in passing:
                    self._begun = self._begun or bool(delta.text)
                    yield self._framed(delta)
        except Blocked as blocked:
            self.is_blocked = True
            for delta in self._stopped(blocked):
                yield self._framed(delta)
        finally:
            self._screen.end(self._screen.outputs)

    async def _passing(self, source: AsyncIterator[ChatDelta]) -> AsyncGenerator[ChatDelta]:
        reading: asyncio.Task[ChatDelta | None] | None = None
        try:
            while True:
                reading = reading or asyncio.create_task(_next(source))
                due = min((at for each in self._answers.values() if each.held and (at := each.held.due)), default=None)
                wait = None if due is None else max(0.0, due - self._now())
                if not (await asyncio.wait((reading,), timeout=wait))[0]:
                    for each in await self._overdue():
                        yield each
                    continue
                delta, reading = reading.result(), None
                for each in await (self._ended() if delta is None else self._take(delta)):
                    yield each
                if delta is None:
                    return
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait((reading,))
                if not reading.cancelled():
                    reading.exception()

    async def _take(self, delta: ChatDelta) -> list[ChatDelta]:
        """What may go on now that this piece has come."""
        answer = self._answers.get(delta.choice)
        if answer is None:
            answer = self._answers[delta.choice] = _Answer(delta.choice)
        self._model, self._fingerprint = delta.model or self._model, delta.fingerprint or self._fingerprint
        self._usage = delta.usage or self._usage
        passed: list[ChatDelta] = []
        if delta.reasoning:
            passed += await self._say(answer, "reasoning", delta.reasoning)
        if delta.signature is not None:
            passed += await self._seal(answer, delta.signature)
        if delta.text:
            passed += await self._say(answer, "text", delta.text)
        if delta.refusal:
            passed += await self._say(answer, "refusal", delta.refusal)
        if delta.tool_call is not None:
            self._call(answer, delta.tool_call)
        answer.logprobs.extend(delta.logprobs)
        if delta.audio is not None or delta.part is not None or delta.extra:
            passed += await self._beside(answer, delta)
        if delta.finish_reason is not None:
            passed += await self._finish(answer)
            passed.append(ChatDelta(choice=answer.index, finish_reason=delta.finish_reason))
        return passed

    async def _say(self, answer: _Answer, kind: _Kind, text: str) -> list[ChatDelta]:
        passed: list[ChatDelta] = []
        if answer.held is None or answer.kind != kind:
            passed = await self._flush(answer)
            answer.kind = kind
            answer.held = Held(characters=self._characters, seconds=self._seconds, reads_all=self._reads_all)
        answer.held.add(text, self._now())
        return passed + await self._look(answer, answer.held) if answer.held.is_enough else passed

    async def _look(self, answer: _Answer, held: Held, *, everything: bool = False) -> list[ChatDelta]:
        looks = await self._looks(held)
        now = self._now()
        spans: list[Span] = []
        settled: list[Look] = []
        for each in looks:
            found = [one for one in each.findings if one[1] > held.released]
            sure = [one for one in found if everything or held.is_settled(one[0], one[1], now)]
            settled.append(Look(guardrail=each.guardrail, findings=sure))
            if each.guardrail.action == "redact":
                replacement = each.guardrail.replacement
                spans += [(at, to, replacement.replace("{label}", label)) for at, to, label in found]
        self._screen.note(settled)
        if spans:
            answer.is_changed = True
            answer.thought_changed = answer.thought_changed or answer.kind == "reasoning"
        text = held.release(sorted(spans), now, everything=everything)
        passed = [answer.piece(text)] if text else []
        while answer.after and answer.after[0][0] <= held.released:
            passed.append(answer.after.pop(0)[1])
        return passed

    async def _looks(self, held: Held) -> list[Look]:
        """What is found, by its place in the whole text: most read the end of it, some all."""
        found: list[Look] = []
        for reads_all, guardrails in self._readers:
            start, window = held.window(everything=reads_all)
            for each in await self._screen.look(guardrails, window):
                moved = [(start + at, start + to, label) for at, to, label in each.findings]
                found.append(Look(guardrail=each.guardrail, findings=moved))
        return found

    async def _flush(self, answer: _Answer) -> list[ChatDelta]:
        """Everything that is held back: what comes next is something else."""
        held, passed = answer.held, list[ChatDelta]()
        if held is not None and held.waiting:
            passed = await self._look(answer, held, everything=True)
        passed += [delta for _, delta in answer.after]
        answer.after.clear()
        return passed

    async def _overdue(self) -> list[ChatDelta]:
        passed: list[ChatDelta] = []
        now = self._now()
        for each in self._answers.values():
            if each.held is not None and each.held.due is not None and each.held.due <= now:
                passed += await self._look(each, each.held)
        return passed

    async def _seal(self, answer: _Answer, signature: str) -> list[ChatDelta]:
        """The seal of a thought, unless the thought is not what it was."""
        passed = await self._flush(answer) if answer.kind == "reasoning" else []
        if not answer.thought_changed:
            passed.append(ChatDelta(choice=answer.index, signature=signature))
        answer.thought_changed = False
        return passed

    def _call(self, answer: _Answer, piece: ToolCallDelta) -> None:
        """Half a call is of no use to anybody: it is kept until it is whole."""
        before = answer.calls.get(piece.index)
        answer.called += len(piece.arguments)
        if answer.called > _LARGEST_CALLS:
            raise Unavailable(f"calls of tools are longer than {_LARGEST_CALLS // 2**20} MiB, so they could not be looked at")
        if before is not None:
            piece = msgspec.structs.replace(
                before, id=piece.id or before.id, name=piece.name or before.name, arguments=before.arguments + piece.arguments
            )
        answer.calls[piece.index] = piece

    async def _beside(self, answer: _Answer, delta: ChatDelta) -> list[ChatDelta]:
        """What is not text: looked at as it is, and passed on in its place."""
        outputs, index = self._screen.outputs, answer.index
        passed: list[ChatDelta] = []
        if delta.extra:
            extra = delta.extra
            said = await self._screen.change(outputs, lambda see: in_fields(extra, see, role="assistant"))
            follows = ChatDelta(choice=index, extra=said)
            if answer.held is not None and answer.held.waiting:
                answer.after.append((answer.held.length, follows))
            else:
                passed.append(follows)
        if delta.audio is not None or delta.part is not None:
            passed += await self._flush(answer)
        if delta.audio is not None:
            await self._hear(delta.audio.transcript)
            passed.append(ChatDelta(choice=index, audio=delta.audio))
        if (part := delta.part) is not None:
            changed = await self._screen.change(outputs, lambda see: in_part(part, "assistant", see))
            passed.append(ChatDelta(choice=index, part=changed))
        return passed

    async def _hear(self, transcript: str) -> None:
        """Of sound nothing can be taken out: what would be replaced in its words is blocked."""
        for each in await self._screen.look(self._screen.outputs, transcript):
            self._screen.note((each,))
            if each.findings and each.guardrail.action == "redact":
                raise each.guardrail.refusal(each.labels)

    async def _finish(self, answer: _Answer) -> list[ChatDelta]:
        passed = await self._flush(answer)
        for index, call in answer.calls.items():
            arguments = await self._screen.change(
                self._screen.outputs, lambda see, call=call: in_arguments(call.arguments, "assistant", see)
            )
            piece = ToolCallDelta(index=index, id=call.id, name=call.name, arguments=arguments)
            passed.append(ChatDelta(choice=answer.index, tool_call=piece))
        answer.calls.clear()
        if answer.logprobs and not answer.is_changed:  # tokens would tell what was replaced
            passed.append(ChatDelta(choice=answer.index, logprobs=tuple(answer.logprobs)))
        answer.logprobs.clear()
        answer.ended = True
        return passed

    async def _ended(self) -> list[ChatDelta]:
        passed = [delta for each in self._answers.values() if not each.ended for delta in await self._finish(each)]
        if self._model is not None or self._fingerprint is not None or self._usage is not None:
            passed.append(ChatDelta())
        return passed

    def _framed(self, delta: ChatDelta) -> ChatDelta:
        """With what the provider said of the whole, which is not sent before there is something to send."""
        if self._model is None and self._fingerprint is None and self._usage is None:
            return delta
        framed = msgspec.structs.replace(delta, model=self._model, fingerprint=self._fingerprint, usage=self._usage)
        self._model = self._fingerprint = self._usage = None
        return framed

    def _stopped(self, blocked: Blocked) -> list[ChatDelta]:
        """How a stream ends that is blocked: with what the guardrail says, and why."""
        said = blocked.answer or ""
        open_ = [each for each in self._answers.values() if not each.ended] or [_Answer(0)]
        told = [ChatDelta(choice=open_[0].index, text=_PAUSE * self._begun + said)] if said else []
        return told + [ChatDelta(choice=each.index, finish_reason="content_filter") for each in open_]


async def _next(source: AsyncIterator[ChatDelta]) -> ChatDelta | None:
    """The next piece; None at the end."""
    return await anext(source, None)
