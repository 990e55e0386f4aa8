"""The guardrails of one call: what they make of its request and of its answer, and what is told of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from tidemill.core.chat import ChatResponse
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json
from tidemill.core.parts import Message, Text
from tidemill.models.checks.guardrail import Action, Blocked, Guardrail
from tidemill.models.checks.look import Look, look, spans_of, spread
from tidemill.models.checks.said import See, in_response
from tidemill.telemetry import Span

T = TypeVar("T")
HEADER: Final = "x-tidemill-guardrails"
GUARDRAIL: Final = "tidemill.guardrail"
ACTION: Final = "tidemill.guardrail.action"
POINT: Final = "tidemill.guardrail.point"
_WEIGHT: Final[Mapping[Action, int]] = {"allow": 0, "escalate": 1, "redact": 2, "block": 3}


class Escalated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something for a person to look at: what a guardrail found, by label, and in which span."""

    project: str
    trace_id: str
    span_id: str
    guardrail: str
    point: str
    labels: tuple[str, ...]
    user: str | None


OnEscalated: TypeAlias = Callable[[Escalated], None]
"""Keeps it for a reviewer, soon; it returns at once and never raises."""


class _Said(msgspec.Struct, kw_only=True):
    """What one guardrail said so far. `labels` has what it found; `error` why it could not look."""

    guardrail: Guardrail
    action: Action = "allow"
    labels: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    error: str | None = None
    span: Span | None = None
    is_done: bool = False
    is_kept: bool = False

    @property
    def verdict(self) -> str:
        if self.error is not None or self.is_kept:
            return "failed" if self.error is not None else "kept"
        return self.action if self.is_done or self.labels else "pending"


class Screen:
    """Made for one call. Not everything that it let pass is known to be fine where `is_sure` is False."""

    __slots__ = ("_on_escalated", "_said", "_span", "inputs", "outputs")

    def __init__(self, guardrails: Iterable[Guardrail], span: Span, *, on_escalated: OnEscalated | None = None) -> None:
        self._said = {each.digest: _Said(guardrail=each) for each in guardrails}
        self.inputs = [each.guardrail for each in self._said.values() if each.guardrail.point in {"input", "tool"}]
        self.outputs = [each.guardrail for each in self._said.values() if each.guardrail.point == "output"]
        self._span = span
        self._on_escalated = on_escalated

    @property
    def digests(self) -> tuple[str, ...]:
        """What the guardrails are: the same answer is kept for calls with the same ones."""
        return tuple(sorted(each.guardrail.digest for each in self._said.values()))

    @property
    def is_sure(self) -> bool:
        """Whether every guardrail could look, and none wants a person to see this."""
        return all(each.error is None and each.action != "escalate" for each in self._said.values())

    @property
    def verdicts(self) -> Mapping[str, str]:
        """What each guardrail did, by name: `allow`, `redact`, `block` or `escalate`.

        `failed` where it could not look, `pending` where it has not seen the whole and has found nothing yet, `kept` where it
        read an answer when that was kept.
        """
        return {each.guardrail.name: each.verdict for each in self._said.values()}

    @property
    def header(self) -> str:
        """The verdicts as one header's value."""
        return ", ".join(f"{name}={verdict}" for name, verdict in self.verdicts.items())

    async def change(self, guardrails: Sequence[Guardrail], walk: Callable[[See], T]) -> T:
        """What `walk` gives when every text in it is as the guardrails leave it. Raises `Blocked` and `Unavailable`."""
        found: dict[tuple[str, tuple[str, ...]], Sequence[str] | None] = {}

        def note(role: str, texts: Sequence[str]) -> Sequence[str]:
            found[role, tuple(texts)] = None
            return texts

        def give(role: str, texts: Sequence[str]) -> Sequence[str]:
            return found.get((role, tuple(texts))) or texts

        same = walk(note)
        changed = False
        for role, texts in found:
            reading = [each for each in guardrails if each.point == "output" or each.reads(role)]
            spans = await self._spans(reading, "".join(texts)) if reading else ()
            if spans:
                changed = True
                found[role, texts] = spread(texts, spans)
        return walk(give) if changed else same

    async def _spans(self, guardrails: Sequence[Guardrail], text: str) -> Sequence[tuple[int, int, str]]:
        if not text:
            return ()
        looks = await self.look(guardrails, text)
        self.note(looks)
        return spans_of(looks)

    async def look(self, guardrails: Sequence[Guardrail], text: str) -> Sequence[Look]:
        """What they find; one that could not look is not asked again. Raises `Unavailable` as its policy says."""
        asked = [each for each in guardrails if self._said[each.digest].error is None]
        try:
            looks = await look(asked, text) if asked else ()
        except Unavailable as error:
            for each in self._said.values():
                if each.guardrail.ref == error.where:
                    each.error = error.message
            raise
        for each in looks:
            if each.error is not None:
                self._said[each.guardrail.digest].error = each.error
        return looks

    def note(self, looks: Iterable[Look]) -> None:
        """Remember what was found. Raises `Blocked` for what is not to pass."""
        refused: Look | None = None
        for each in looks:
            if not each.findings:
                continue
            said, action = self._said[each.guardrail.digest], each.guardrail.action
            said.labels.update(dict.fromkeys(each.labels))
            if _WEIGHT[action] > _WEIGHT[said.action]:
                said.action = action
            refused = each if action == "block" and refused is None else refused
        if refused is not None:
            raise refused.guardrail.refusal(refused.labels)

    def keep(self) -> None:
        """The answer is one that was kept, as these guardrails left it."""
        for each in self.outputs:
            self._said[each.digest].is_kept = True

    def begin(self, guardrails: Sequence[Guardrail]) -> None:
        """Begin a span for each of these."""
        for each in guardrails:
            attributes: dict[str, Json] = {GUARDRAIL: each.ref, POINT: each.point}
            self._said[each.digest].span = self._span.child(each.name, kind="guardrail", attributes=attributes)

    def end(self, guardrails: Sequence[Guardrail]) -> None:
        """End their spans, with what they said; what is for a person is handed on."""
        for each in guardrails:
            said = self._said[each.digest]
            if said.span is None:
                continue
            said.is_done = True
            output: dict[str, Json] = {"action": said.action, "passed": not said.labels, "findings": list(said.labels)}
            said.span.set(output=output, attributes={ACTION: said.action}, error=said.error)
            if said.action == "escalate" and self._on_escalated is not None:
                self._on_escalated(self._escalated(said, said.span))
            said.span.end()
            said.span = None

    async def within(self, guardrails: Sequence[Guardrail], work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` within the spans of these guardrails."""
        self.begin(guardrails)
        try:
            return await work()
        finally:
            self.end(guardrails)

    async def answer(self, response: ChatResponse) -> ChatResponse:
        """An answer as it may be given; of one that is blocked, what is said instead. Raises `Unavailable`."""
        try:
            return await self.within(self.outputs, lambda: self.change(self.outputs, lambda see: in_response(response, see)))
        except Blocked as blocked:
            return refused_answer(response, blocked.answer)

    def _escalated(self, said: _Said, span: Span) -> Escalated:
        guardrail = said.guardrail
        return Escalated(
            project=span.project, trace_id=span.trace_id, span_id=span.span_id, guardrail=guardrail.ref, point=guardrail.point,
            labels=tuple(said.labels), user=span.user,
        )  # fmt: skip


def refused_answer(response: ChatResponse, said: str | None) -> ChatResponse:
    """What is given instead of an answer that is blocked: what the guardrail says, if anything, and its usage."""
    return ChatResponse(
        message=Message(role="assistant", parts=(Text(text=said or ""),)),
        finish_reason="content_filter",
        usage=response.usage,
        model=response.model,
        fingerprint=response.fingerprint,
    )
