"""An endpoint's guardrails around an application that is more than one model: what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec import structs

from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.parts import Message
from tidemill.models.checks.guardrail import Blocked
from tidemill.models.checks.said import See, in_fields, in_message, in_text, in_values
from tidemill.models.checks.screen import HEADER, Screen
from tidemill.serve.chat_response import Answer
from tidemill.serve.inputs import inputs_for
from tidemill.serve.problems import ContentFiltered
from tidemill.telemetry.recorder import Span

if TYPE_CHECKING:
    from tidemill.serve.answering import Question

_NOTHING: Final[Mapping[str, str]] = {}


async def guarded_question(screen: Screen, question: Question, span: Span) -> Question:
    """The question as it may be asked. Raises `Blocked` and `Unavailable`."""
    if screen.inputs:
        question = await screen.within(screen.inputs, lambda: _read(screen, question, span))
    question.notes[HEADER] = screen.header
    return question


async def guarded_answer(screen: Screen, question: Question, answer: Answer, span: Span) -> Answer:
    """A whole answer as it may be given. Raises `Unavailable`."""
    if screen.outputs:
        try:
            answer = await screen.within(screen.outputs, lambda: _said(screen, answer))
        except Blocked as blocked:
            answer = refused(answer, blocked.answer)
        span.set(output=answer.text)
    question.notes[HEADER] = screen.header
    return replace(answer, guardrails=screen.verdicts)


async def guarded_end(screen: Screen, answer: Answer, text: str) -> Answer:
    """What ends a stream of which `text` went on: the passages that came with it are read, too."""
    changed = await screen.change(screen.outputs, lambda see: _passages(answer.citations, see))
    return replace(answer, text=text, citations=changed, guardrails=screen.verdicts)


def verdict_of(error: TidemillError) -> Mapping[str, str]:
    """The header of what a guardrail refused, or could not look at; nothing for another error."""
    if not error.where.startswith("guardrail/"):
        return _NOTHING
    verdict = "block" if isinstance(error, ContentFiltered) else "failed"
    return {HEADER: f"{error.where.partition('/')[2]}={verdict}"}


def refused(answer: Answer, said: str | None) -> Answer:
    """What is given instead of what was blocked."""
    return Answer(text=said or "", finish_reason="content_filter", usage=answer.usage, cost=answer.cost)


async def _read(screen: Screen, question: Question, span: Span) -> Question:
    call = question.call

    def walk(see: See) -> tuple[tuple[Message, ...], JsonObject]:
        return tuple(in_message(each, see) for each in call.messages), in_values(call.inputs, "user", see)

    messages, inputs = await screen.change(screen.inputs, walk)
    if inputs is call.inputs and all(one is other for one, other in zip(messages, call.messages, strict=True)):
        return question
    call = structs.replace(call, messages=messages, inputs=inputs)
    changed = structs.replace(question, call=call, inputs=inputs_for(question.bundle.root, call))
    span.set(input=changed.shown)
    return changed


async def _said(screen: Screen, answer: Answer) -> Answer:
    def walk(see: See) -> tuple[str, Sequence[JsonObject]]:
        return in_text(answer.text, "assistant", see), _passages(answer.citations, see)

    text, citations = await screen.change(screen.outputs, walk)
    return replace(answer, text=text, citations=citations)


def _passages(citations: Sequence[JsonObject], see: See) -> Sequence[JsonObject]:
    return [in_fields(each, see, role="assistant") for each in citations]
