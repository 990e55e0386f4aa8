"""Asking an application, whole or as a stream, whatever its root is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from tidemill.core.chat import ChatDelta, ChatRequest
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import message_to_json
from tidemill.core.records import Bundle, SpanKind
from tidemill.flows.results import RunContext, RunResult
from tidemill.flows.run import Runner
from tidemill.models.service import Models
from tidemill.models.stream import ChatResult
from tidemill.prompts.text import text_of
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.citations import citations_of
from tidemill.serve.inputs import inputs_for
from tidemill.serve.problems import from_run
from tidemill.telemetry.recorder import Span

SPAN_KINDS: Final[Mapping[str, SpanKind]] = {"model": "llm", "agent": "agent", "prompt": "chain", "chain": "chain"}
"""The kind of the root span, by the kind of the application's root."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One request, ready to be asked: of which application, with what, in which project."""

    bundle: Bundle
    call: ChatCall
    inputs: JsonObject
    project: str
    environment: str

    @property
    def shown(self) -> Json:
        """What the root span shows as input."""
        if self.bundle.root.kind in {"chain", "prompt"} and self.inputs:
            return self.inputs
        return [message_to_json(each) for each in self.call.messages]


def prepare(bundle: Bundle, call: ChatCall, *, project: str, environment: str) -> Question:
    """Fit a request to an application. Raises `Invalid` for what the application does not take."""
    is_model = bundle.root.kind == "model"
    if call.unsayable:
        first = call.unsayable[0]
        raise Invalid(first.message, where=first.where, hint=first.hint, problems=call.unsayable[1:])
    if not is_model and call.tools:
        raise Invalid(
            f"{bundle.root.bare} has its own tools", where="tools", hint="Leave tools out, or call a model by its name."
        )
    if not is_model and call.output_schema is not None:
        raise Invalid(
            f"{bundle.root.bare} has its own output format",
            where="response_format",
            hint="Leave response_format out, or call a model by its name.",
        )
    inputs: JsonObject = {} if is_model else inputs_for(bundle.root, call)
    return Question(bundle=bundle, call=call, inputs=inputs, project=project, environment=environment)


class Answering:
    """Asks models and applications. A failure inside a run comes out as the caller should see it."""

    def __init__(self, *, models: Models, runner: Runner) -> None:
        self._models = models
        self._runner = runner

    async def ask(self, question: Question, span: Span) -> Answer:
        """The whole answer. Cancelling it cancels the calls of models below it."""
        try:
            if question.bundle.root.kind == "model":
                found = await self._models.chat(
                    question.bundle.root, _chat_request(question), project=question.project,
                    environment=question.environment, span=span,
                )  # fmt: skip
                return _of_model(found)
            result = await self._runner.run(question.bundle, question.inputs, context=_context(question, span))
        except TidemillError as error:
            raise from_run(error) from error
        return _of_run(question, result, span)

    async def stream(self, question: Question, span: Span) -> AsyncGenerator[ChatDelta | Answer]:
        """Each piece as it arrives, and at the end the whole answer. Closing it cancels the calls below it."""
        source = self._of_model(question, span) if question.bundle.root.kind == "model" else self._of_run(question, span)
        try:
            async with aclosing(source):
                async for piece in source:
                    yield piece
        except TidemillError as error:
            raise from_run(error) from error

    async def _of_model(self, question: Question, span: Span) -> AsyncGenerator[ChatDelta | Answer]:
        stream = self._models.stream(
            question.bundle.root, _chat_request(question), project=question.project,
            environment=question.environment, span=span,
        )  # fmt: skip
        try:
            async for delta in stream:
                yield delta
            yield _of_model(stream.result)
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
        project=question.project,
        environment=question.environment,
        span=span,
        reuse=False,
        messages=question.call.messages,
    )


def _of_model(result: ChatResult) -> Answer:
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
        others=response.others,
        extra=response.extra,
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
