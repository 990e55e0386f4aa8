"""Asking an application, whole or as a stream, whatever its root is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import msgspec

from tidemill.core.chat import ChatDelta, ChatRequest
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Other, message_to_json
from tidemill.core.records import Bundle, SpanKind, Version
from tidemill.flows.results import RunContext, RunResult
from tidemill.flows.run import Runner
from tidemill.models.answered import Answered
from tidemill.models.caller import Caller
from tidemill.models.calls import RawRequest
from tidemill.models.checks.guardrail import Blocked
from tidemill.models.checks.screen import Screen
from tidemill.models.checks.stream import Screened
from tidemill.models.service import Models
from tidemill.models.stream import ChatResult
from tidemill.prompts.text import text_of
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.citations import citations_of
from tidemill.serve.guarded import guarded_answer, guarded_end, guarded_question
from tidemill.serve.inputs import inputs_for
from tidemill.serve.problems import from_run
from tidemill.telemetry.recorder import Span

SPAN_KINDS: Final[Mapping[str, SpanKind]] = {
    "model": "llm",
    "route": "llm",
    "agent": "agent",
    "prompt": "chain",
    "chain": "chain",
}
"""The kind of the root span, by the kind of the application's root."""

MODELS: Final = frozenset({"model", "route"})
"""Kinds that answer with what a provider said, and not with what a flow made of it."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready to be asked: of which application, with what, for whom.

    `raw` is the request as it was written, where it may be passed on as it is. `notes` collects what is to be said in headers.
    """

    bundle: Bundle
    call: ChatCall
    inputs: JsonObject
    caller: Caller
    raw: RawRequest | None = None
    notes: dict[str, str] = msgspec.field(default_factory=dict[str, str])

    @property
    def is_model(self) -> bool:
        """Whether a model answers by itself, or a route to several."""
        return self.bundle.root.kind in MODELS

    @property
    def shown(self) -> Json:
        """What the root span shows as input."""
        if self.bundle.root.kind in {"chain", "prompt"} and self.inputs:
            return self.inputs
        return [message_to_json(each) for each in self.call.messages]


def prepare(bundle: Bundle, call: ChatCall, *, caller: Caller, raw: RawRequest | None = None) -> Question:
    """Fit a request to an application. Raises `Invalid` for what the application does not take."""
    is_model = bundle.root.kind in MODELS
    if call.unsayable:
        first = call.unsayable[0]
        refused = Invalid(first.message, where=first.where, hint=first.hint, problems=call.unsayable[1:], kind="invalid")
        if not is_model or raw is None:
            raise refused
        raw = msgspec.structs.replace(raw, refused=refused)
    if is_model:
        return Question(bundle=bundle, call=call, inputs={}, caller=caller, raw=raw)
    _check_flow(bundle.root, call)
    return Question(bundle=bundle, call=call, inputs=inputs_for(bundle.root, call), caller=caller)


def _check_flow(root: Version, call: ChatCall) -> None:
    """What belongs to the release, and what only a model can be asked."""
    if call.tools:
        raise Invalid(f"{root.bare} has its own tools", where="tools", hint="Leave tools out, or call a model by its name.")
    if call.output_schema is not None:
        hint = "Leave response_format out, or call a model by its name."
        raise Invalid(f"{root.bare} has its own output format", where="response_format", hint=hint)
    if call.params.get("n") not in {None, 1}:
        raise Invalid(f"{root.bare} gives one answer to a request", where="n", hint="Leave n out, or call a model by its name.")
    for index, message in enumerate(call.messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, Other):
                said = f"a content part of type {part.value.get('type')!r} is not supported"
                hint = "Send text, or call a model whose provider knows it."
                raise Invalid(said, where=f"messages[{index}].content[{place}]", hint=hint)


class Answering:
    """Asks models and applications. A failure inside a run comes out as the caller should see it."""

    def __init__(self, *, models: Models, runner: Runner) -> None:
        self._models = models
        self._runner = runner

    async def begin(self, question: Question, span: Span) -> Answered:
        """The answer of a model, or the beginning of its stream. Cancelling it cancels the call.

        Raises `Blocked` where a guardrail says what to answer instead.
        """
        call = question.call
        try:
            return await self._models.begin(
                question.bundle.root, _chat_request(question), caller=question.caller, span=span, stream=call.stream,
                raw=question.raw, at_door=True,
            )  # fmt: skip
        except Blocked as blocked:
            if blocked.answer is None:
                raise from_run(blocked) from blocked
            raise
        except TidemillError as error:
            raise from_run(error) from error

    async def ask(self, question: Question, span: Span) -> Answer:
        """The whole answer of a flow. Cancelling it cancels the calls of models below it."""
        try:
            screen = await self._screen(question, span)
            if screen is not None:
                question = await guarded_question(screen, question, span)
            result = await self._runner.run(question.bundle, question.inputs, context=_context(question, span))
            answer = _of_run(question, result, span)
            return answer if screen is None else await guarded_answer(screen, question, answer, span)
        except Blocked as blocked:
            if blocked.answer is None:
                raise from_run(blocked) from blocked
            return of_refusal(blocked, span)
        except TidemillError as error:
            raise from_run(error) from error

    async def stream(self, question: Question, span: Span) -> AsyncGenerator[ChatDelta | Answer]:
        """Each piece of a flow's answer as it arrives, and at the end the whole. Closing it cancels the calls below it."""
        try:
            screen = await self._screen(question, span)
            if screen is not None:
                question = await guarded_question(screen, question, span)
            pieces = self._of_run(question, span) if screen is None else self._guarded(question, span, screen)
            async with aclosing(pieces) as source:
                async for piece in source:
                    yield piece
        except Blocked as blocked:
            if blocked.answer is None:
                raise from_run(blocked) from blocked
            answer = of_refusal(blocked, span)
            yield ChatDelta(text=answer.text)
            yield answer
        except TidemillError as error:
            raise from_run(error) from error

    async def stream_model(self, answered: Answered) -> AsyncGenerator[ChatDelta | Answer]:
        """The same of a model's answer that has begun."""
        try:
            async with aclosing(answered.deltas()) as deltas:
                async for delta in deltas:
                    yield delta
        except TidemillError as error:
            raise from_run(error) from error
        yield of_model(answered.result)

    async def _screen(self, question: Question, span: Span) -> Screen | None:
        guards = self._models.guards
        return None if guards is None else await guards.screen_at(question.caller, span)

    async def _guarded(self, question: Question, span: Span, screen: Screen) -> AsyncGenerator[ChatDelta | Answer]:
        """A flow's answer as the endpoint's output guardrails let it pass; what is blocked is not run to its end."""
        if not screen.outputs:
            async for piece in self._of_run(question, span):
                yield replace(piece, guardrails=screen.verdicts) if isinstance(piece, Answer) else piece
            return
        stream = self._runner.stream(question.bundle, question.inputs, context=_context(question, span))
        screened, said = Screened(screen, now=asyncio.get_running_loop().time), list[str]()
        try:
            async with aclosing(screened.deltas(stream)) as deltas:
                async for delta in deltas:
                    said.append(delta.text)
                    yield delta
            text = "".join(said)
            if screened.is_blocked:
                answer = Answer(text=text, finish_reason="content_filter", guardrails=screen.verdicts)
            else:
                answer = await guarded_end(screen, _of_run(question, stream.result, span), text)
            span.set(output=text)
            yield answer
        finally:
            await stream.aclose()

    async def _of_run(self, question: Question, span: Span) -> AsyncGenerator[ChatDelta | Answer]:
        stream = self._runner.stream(question.bundle, question.inputs, context=_context(question, span))
        try:
            async for delta in stream:
                yield delta
            yield _of_run(question, stream.result, span)
        finally:
            await stream.aclose()


def _chat_request(question: Question) -> ChatRequest:
    call = question.call
    return ChatRequest(
        model=question.bundle.root.name,
        messages=call.messages,
        tools=call.tools,
        tool_choice=call.tool_choice,
        output_schema=call.output_schema,
        params=call.params,
        extra=call.extra,
    )


def _context(question: Question, span: Span) -> RunContext:
    """A served answer is always made anew: the step cache is for evaluations."""
    return RunContext(
        project=question.caller.project,
        environment=question.caller.environment,
        span=span,
        reuse=False,
        messages=question.call.messages,
        caller=question.caller,
    )


def of_refusal(blocked: Blocked, span: Span) -> Answer:
    """What a guardrail says in place of an answer."""
    text = blocked.answer or ""
    span.set(output=text, attributes={"tidemill.blocked_by": blocked.where})
    return Answer(text=text, finish_reason="content_filter", cost=0.0, guardrails={blocked.where.partition("/")[2]: "block"})


def of_model(result: ChatResult) -> Answer:
    """What a model said, ready to be written."""
    response = result.response
    return Answer(
        text=response.message.text,
        tool_calls=response.message.tool_calls,
        finish_reason=response.finish_reason,
        usage=response.usage,
        cost=result.cost,
        logprobs=response.logprobs,
        fingerprint=response.fingerprint,
        parts=response.message.parts,
        beside=response.message.extra,
        others=response.others,
        extra=response.extra,
        guardrails=result.guardrails,
    )


def _of_run(question: Question, result: RunResult, span: Span) -> Answer:
    span.set(output=result.output)
    outputs = {name: step.output for name, step in result.steps.items()}
    return Answer(
        text=text_of(result.output),
        finish_reason=result.finish_reason,
        usage=result.usage,
        cost=result.cost,
        citations=citations_of(question.bundle, outputs),
    )
