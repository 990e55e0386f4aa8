"""Prompt steps: fill the prompt, ask the model."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jsonschema_rs
import orjson

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse
from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, message_from_json, message_to_json
from tidemill.core.records import SpanKind, Version
from tidemill.flows.results import Calls
from tidemill.flows.step import Call, Outcome, Run
from tidemill.models.stream import ChatResult
from tidemill.prompts.render import PromptTemplate
from tidemill.prompts.text import text_of
from tidemill.telemetry import Span

ONE_MODEL_CALL: Final = Calls(model=1)
HISTORY: Final = "history"
"""The key under which a step's earlier conversation stands beside the prompt's variables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """A model, and how it is asked. `is_root` lets the request's own parameters, tools and schema through."""

    model: Version
    params: JsonObject
    output_schema: JsonObject | None = None
    is_root: bool = False

    @property
    def key(self) -> str:
        """What a model's epochs are kept under."""
        return self.model.digest

    async def variation(self, run: Run) -> Sequence[Json]:
        """What makes another sample of the same question."""
        context = run.context
        epoch = await run.engine.cache.epoch(context.project, f"{self.key}@{context.environment}")
        found: list[Json] = [context.replicate, epoch, context.environment]
        if self.is_root:
            tools: list[Json] = [[each.name, each.description, each.parameters] for each in context.tools]
            messages: list[Json] = [message_to_json(each) for each in context.messages]
            found += [context.params, tools, context.tool_choice, context.output_schema, messages]
        return found

    def request(self, messages: tuple[Message, ...], run: Run) -> ChatRequest:
        """What is sent."""
        context = run.context
        if not self.is_root:
            return ChatRequest(model="", messages=messages, params=self.params, output_schema=self.output_schema)
        return ChatRequest(
            model="",
            messages=messages,
            tools=context.tools,
            tool_choice=context.tool_choice,
            output_schema=context.output_schema or self.output_schema,
            params={**self.params, **context.params},
        )

    async def ask(self, request: ChatRequest, call: Call, *, span: Span) -> ChatResult:
        """Ask once; stream when someone listens. What the provider reported of itself is noted."""
        context, models = call.run.context, call.run.engine.models
        span.set(input={"messages": [message_to_json(each) for each in request.messages]})
        if not call.streams:
            result = await models.chat(self.model, request, caller=context.asking, span=span)
        else:
            stream = models.stream(self.model, request, caller=context.asking, span=span)
            async with contextlib.aclosing(stream):
                async for delta in stream:
                    if delta.text or delta.tool_call:
                        await call.say(ChatDelta(text=delta.text, tool_call=delta.tool_call, logprobs=delta.logprobs))
            result = stream.result
        await self._note(result, call.run)
        return result

    async def _note(self, result: ChatResult, run: Run) -> None:
        """A changed fingerprint starts a new epoch of cached outputs; without reuse nobody would ask."""
        if run.context.reuse:
            key = f"{self.key}@{run.context.environment}"
            await run.engine.cache.note_fingerprint(run.context.project, key, result.response.fingerprint)


class PromptWork:
    """A prompt, a model, and parameters. Gives `text`, `tool_calls`, and `data` when the prompt has an output schema."""

    span_kind: SpanKind = "llm"

    def __init__(
        self, prompt: Version | None, model: Version, *, params: JsonObject, is_root: bool = False, what: str = ""
    ) -> None:
        self._template = PromptTemplate(prompt.spec) if prompt else None
        self._what = what or (prompt.bare if prompt else model.bare)
        schema = self._template.output_schema if self._template else None
        merged = {**(self._template.params if self._template else {}), **params}
        self._asker = Asker(model=model, params=merged, output_schema=schema, is_root=is_root)
        self.model = model
        self.digest: str | None = digest_json([prompt.digest if prompt else None, model.digest, merged])

    async def variation(self, run: Run) -> Sequence[Json]:
        """The model's replicate and epoch."""
        return await self._asker.variation(run)

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """Ask. Raises `Unavailable` for an answer that does not satisfy the output schema, so that retries apply."""
        request = self._asker.request(self._messages(inputs, call.run), call.run)
        result = await self._asker.ask(request, call, span=call.span)
        value = answer_json(result.response, output_schema=request.output_schema)
        return Outcome(
            value=value,
            usage=result.response.usage,
            cost=result.cost,
            calls=ONE_MODEL_CALL,
            finish_reason=result.response.finish_reason,
        )

    def _messages(self, inputs: JsonObject, run: Run) -> tuple[Message, ...]:
        context = run.context
        if self._template is None:
            return conversation(inputs, context.messages)
        given = {name: value for name, value in inputs.items() if name != HISTORY}
        rendered = self._template.render(given, what=self._what)
        history = conversation_from_json(inputs.get(HISTORY))
        if self._asker.is_root and context.messages:
            history = context.messages[:-1]
        return with_history(rendered, history)


def answer_json(response: ChatResponse, *, output_schema: JsonObject | None) -> JsonObject:
    """A model's answer as a step's output."""
    message = response.message
    calls: list[Json] = [{"id": each.id, "name": each.name, "arguments": each.arguments} for each in message.tool_calls]
    answer: dict[str, Json] = {"text": message.text, "tool_calls": calls}
    if output_schema is not None and not calls:
        answer["data"] = _parsed(message.text, output_schema)
    return answer


def _parsed(text: str, schema: JsonObject) -> Json:
    try:
        data: Json = orjson.loads(text)
        jsonschema_rs.validator_for(dict(schema)).validate(data)
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"the answer is not JSON, as its output schema wants: {text[:80]!r}", hint=_SCHEMA_HINT) from error
    except jsonschema_rs.ValidationError as error:
        reason = str(error).splitlines()[0]
        raise Unavailable(f"the answer does not satisfy its output schema: {reason}", hint=_SCHEMA_HINT) from error
    return data


_SCHEMA_HINT: Final = "Give the step retries, or take a model that follows schemas."


def conversation(inputs: JsonObject, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation so far: the messages given, else the input's text as one message of the user."""
    if messages:
        return messages
    text = next((value for value in inputs.values() if value is not None), None)
    if text is None:
        raise Invalid("there is nothing to ask: no messages and no input", hint="Give --input input=…, or messages.")
    return (Message.of("user", text_of(text)),)


def conversation_from_json(value: Json) -> tuple[Message, ...]:
    """An input of type `messages`."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Invalid("history needs a list of messages", hint="Pass an input of type messages.")
    return tuple(message_from_json(each, where=f"history.{number}") for number, each in enumerate(value))


def with_history(rendered: tuple[Message, ...], history: tuple[Message, ...]) -> tuple[Message, ...]:
    """Earlier turns stand before the last rendered message; their system messages come after the prompt's own."""
    if not history:
        return rendered
    if not rendered:
        return history
    return (*rendered[:-1], *history, rendered[-1])
