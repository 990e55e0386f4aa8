"""The Vercel AI SDK: `ai.*`, with a span around a whole operation and one below it for each call of a model.

https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.documents import read_documents
from tidemill.telemetry.dialects.messages import read_messages
from tidemill.telemetry.dialects.parts import Part, read_call, take, with_rest
from tidemill.telemetry.dialects.values import is_list, is_object, loosely, milliseconds, text, texts, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_OPERATIONS: Final = {
    "ai.toolCall": "tool",
    "ai.embed.doEmbed": "embedding",
    "ai.embedMany.doEmbed": "embedding",
    "ai.rerank.doRerank": "reranker",
}
_TEXT: Final = ("ai.response.text", "ai.result.text")
_OBJECT: Final = ("ai.response.object", "ai.result.object")
_CALLS: Final = ("ai.response.toolCalls", "ai.result.toolCalls")
_ANSWER: Final = (*_TEXT, "ai.response.reasoning", *_CALLS, *_OBJECT)


def _kind(value: Json) -> str | None:
    """What an operation is: the calls of a model begin with `do`, and what stands around them is a chain."""
    if not isinstance(value, str):
        return None
    name = value.split(" ", 1)[0]
    if name in _OPERATIONS:
        return _OPERATIONS[name]
    if not name.startswith("ai."):
        return None
    return "llm" if name.rpartition(".")[2].startswith("do") else "chain"


def _vendor(value: Json) -> str | None:
    """The provider: `openai` of `openai.responses`."""
    return value.partition(".")[0] or None if isinstance(value, str) else None


def _first(attributes: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def _answer(span: RawSpan) -> Json:
    """The answer's text, reasoning, object and calls, as one message. None when one of them is not of its form."""
    attributes = span.attributes
    said, made = _first(attributes, _TEXT), _first(attributes, _OBJECT)
    reasoning, calls = attributes.get("ai.response.reasoning"), unpacked(_first(attributes, _CALLS))
    both = sum(attributes.get(key) is not None for key in (*_TEXT, *_OBJECT, *_CALLS))
    if both > sum(each is not None for each in (said, made, calls)):
        return None  # two generations at once
    if (said is not None and not isinstance(said, str)) or (calls is not None and not is_list(calls)):
        return None
    if said is None and made is None and calls is None:
        return None
    message: Part = {"role": "assistant", "content": said if said is not None else ""}
    if reasoning is not None:
        message["reasoning"] = unpacked(reasoning)
    if made is not None:
        content: Json = made if isinstance(made, str) else loosely(made)
        message["object" if said is not None else "content"] = content
    found = [read_call(_call(each)) for each in calls if is_object(each)] if is_list(calls) else []
    if is_list(calls) and len(found) != len(calls):
        return None
    if found:
        message["tool_calls"] = found
    return [message]


def _call(value: Mapping[str, Json]) -> Part:
    rest = dict(value)
    if rest.get("toolCallType") == "function":
        del rest["toolCallType"]
    return rest


def _prompt(value: Json) -> Json:
    """`ai.prompt`: an object with `system`, `prompt` or `messages`, as one conversation."""
    found = unpacked(value)
    if not is_object(found):
        return None
    rest = dict(found)
    system, prompt, messages = take(rest, "system"), take(rest, "prompt"), unpacked(take(rest, "messages"))
    given: list[Json] = [{"role": "system", "content": system}] if isinstance(system, str) else []
    if isinstance(prompt, str):
        given.append({"role": "user", "content": prompt})
    elif prompt is not None:
        messages = messages if messages is not None else prompt
    if messages is not None:
        read = read_messages(messages)
        if read is None:
            return None
        given += read
    return with_rest({"messages": given}, rest) if given else None


def _tools(value: Json) -> Json:
    """Definitions, each as JSON in a text."""
    found = unpacked(value)
    return [unpacked(each) for each in found] if is_list(found) else None


def _vectors(span: RawSpan) -> Json:
    one, many = unpacked(span.attributes.get("ai.embedding")), span.attributes.get("ai.embeddings")
    found = unpacked(many) if many is not None else [one]
    if not is_list(found) or not found:
        return None
    first = unpacked(found[0])
    return {"vectors": len(found), "dimensions": len(first)} if is_list(first) else None


def _values(value: Json) -> Json:
    found = unpacked(value)
    return [loosely(each) for each in found] if is_list(found) else loosely(found)


_META: Final = "ai.telemetry.metadata."

DIALECT: Final = Dialect(
    name="vercel",
    keys=(
        "ai.operationId", "ai.model.", "ai.prompt", "ai.response.", "ai.usage.", "ai.toolCall.", "ai.telemetry.", "ai.result.",
    ),
    rank=30,
    fields={
        "kind": (At("ai.operationId", _kind), At("operation.name", _kind)),
        "messages": at("ai.prompt.messages", reader=read_messages),
        "tools": at("ai.prompt.tools", reader=_tools),
        "output_messages": (Whole(_answer, _ANSWER, moves=True),),
        "input": (
            *at("ai.prompt", reader=_prompt), *at("ai.prompt"), *at("ai.toolCall.args", "ai.toolCall.input"),
            *at("ai.value", "ai.values", reader=_values),
        ),
        "output": (
            *at("ai.toolCall.result", "ai.toolCall.output", reader=loosely),
            *at("ai.ranking", reader=read_documents), *at("ai.ranking"),
            Whole(_vectors, ("ai.embedding", "ai.embeddings")),
        ),
        "model": ("ai.model.id", "ai.response.model"),
        "provider": (At("ai.model.provider", _vendor),),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "cached_tokens": ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
        "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
        "finish_reasons": (At("ai.response.finishReason", texts), At("ai.finishReason", texts)),
        "first_token_ns": (At("ai.response.msToFirstChunk", milliseconds), At("ai.stream.msToFirstChunk", milliseconds)),
        "session": (f"{_META}sessionId", f"{_META}session_id", f"{_META}threadId", f"{_META}chatId"),
        "user": (f"{_META}userId", f"{_META}user_id"),
        "tags": (At(f"{_META}tags", texts),),
        "gen_ai.request.temperature": ("ai.settings.temperature",),
        "gen_ai.request.top_p": ("ai.settings.topP",),
        "gen_ai.request.top_k": ("ai.settings.topK",),
        "gen_ai.request.max_tokens": ("ai.settings.maxOutputTokens", "ai.settings.maxTokens"),
        "gen_ai.request.seed": ("ai.settings.seed",),
        "gen_ai.request.stop_sequences": ("ai.settings.stopSequences",),
        "gen_ai.request.frequency_penalty": ("ai.settings.frequencyPenalty",),
        "gen_ai.request.presence_penalty": ("ai.settings.presencePenalty",),
        "gen_ai.response.model": ("ai.response.model",),
        "gen_ai.response.id": ("ai.response.id",),
        "gen_ai.tool.name": (At("ai.toolCall.name", text),),
        "gen_ai.tool.call.id": (At("ai.toolCall.id", text),),
    },
)  # fmt: skip
