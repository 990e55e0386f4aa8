"""Answers in OpenAI's words, read as ours. Servers that speak the dialect differ; what they are known to do is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import orjson

from tidemill.core.chat import (
    ChatDelta,
    ChatResponse,
    Connection,
    FinishReason,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Text, ToolCall
from tidemill.models.reading import as_text, child, children, count, number, text
from tidemill.models.refusals import refusal

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls",
    "content_filter": "content_filter", "error": "error", "max_tokens": "length", "model_length": "length",
}  # fmt: skip


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole `chat.completion`. Raises `Unavailable` when it holds no choice."""
    choices = children(answer, "choices")
    if not choices:
        raise Unavailable("openai answered without any choice", where=f"connection/{connection.name}")
    choice = choices[0]
    message = child(choice, "message")
    said = _text_of(message.get("content")) or text(message, "refusal")
    calls = [_tool_call(each, index) for index, each in enumerate(_calls(message))]
    parts: list[Part] = [Text(text=said)] if said or not calls else []
    return ChatResponse(
        message=Message(role="assistant", parts=(*parts, *calls)),
        finish_reason=_finish(text(choice, "finish_reason"), has_calls=bool(calls)),
        usage=_usage(child(answer, "usage")),
        model=text(answer, "model"),
        fingerprint=text(answer, "system_fingerprint") or None,
        logprobs=_logprobs(child(choice, "logprobs")),
    )


def read_error(answer: JsonObject, connection: Connection) -> TidemillError:
    """The error in a body or a chunk that came with a status of 200; its code may be a status."""
    error = child(answer, "error")
    given = count(error, "code") or count(error, "status")
    by_default = 400 if text(error, "type") == "invalid_request_error" else 500
    status = given if 400 <= given < 600 else by_default
    return refusal(status, as_text(answer), provider="openai", connection=connection.name)


class StreamReader:
    """Reads `chat.completion.chunk`s. What belongs at the end is kept back until `ending`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._finish = ""
        self._usage: Usage | None = None
        self._indices: dict[str, int] = {}
        self._last_index = -1

    def read(self, data: str) -> Iterator[ChatDelta]:
        """The pieces of one chunk. Raises `Unavailable` for half a chunk, and the provider's own error when it holds one."""
        try:
            chunk = cast("Json", orjson.loads(data))
        except orjson.JSONDecodeError:
            raise self._early() from None
        if not isinstance(chunk, Mapping):
            return
        if chunk.get("error"):
            raise read_error(chunk, self._connection)
        usage = child(chunk, "usage") or child(child(chunk, "x_groq"), "usage")
        if usage:
            self._usage = _usage(usage)
        model, fingerprint = text(chunk, "model") or None, text(chunk, "system_fingerprint") or None
        for choice in children(chunk, "choices"):
            if count(choice, "index"):
                continue
            self._finish = text(choice, "finish_reason") or self._finish
            delta = child(choice, "delta")
            yield ChatDelta(
                text=_text_of(delta.get("content")) or text(delta, "refusal"),
                model=model,
                fingerprint=fingerprint,
                logprobs=_logprobs(child(choice, "logprobs")),
            )
            for call in _calls(delta):
                yield ChatDelta(tool_call=self._call_piece(call))

    def _call_piece(self, call: JsonObject) -> ToolCallDelta:
        function = child(call, "function")
        call_id = text(call, "id")
        return ToolCallDelta(
            index=self._index(call, call_id),
            id=call_id or None,
            name=text(function, "name") or None,
            arguments=as_text(function.get("arguments")),
        )

    def _index(self, call: JsonObject, call_id: str) -> int:
        """Which call a piece belongs to: by its index; by its id where a server leaves the index away; else the last."""
        given = call.get("index")
        if isinstance(given, int):
            self._last_index = given
        elif call_id:
            self._last_index = self._indices.setdefault(call_id, len(self._indices))
        return max(self._last_index, 0)

    def ending(self) -> ChatDelta:
        """The last piece. Raises `Unavailable` when the stream stopped before the model did."""
        if not self._finish:
            raise self._early()
        return ChatDelta(finish_reason=_finish(self._finish, has_calls=self._last_index >= 0), usage=self._usage)

    def _early(self) -> Unavailable:
        return Unavailable("openai: the stream ended early", where=f"connection/{self._connection.name}")


def _calls(message: JsonObject) -> list[JsonObject]:
    """The tool calls of a message or delta, also in the form with one `function_call` that came before them."""
    calls = children(message, "tool_calls")
    function = child(message, "function_call")
    return calls or ([{"index": 0, "id": "call_0", "function": function}] if function else [])


def _tool_call(call: JsonObject, index: int) -> ToolCall:
    function = child(call, "function")
    return ToolCall(
        id=text(call, "id") or f"call_{index}", name=text(function, "name"), arguments=as_text(function.get("arguments"))
    )


def _text_of(content: Json) -> str:
    """The text of a content that is text or a list of parts; a model's thinking is left out."""
    if isinstance(content, str):
        return content
    return "".join(text(part, "text") for part in children({"parts": content}, "parts") if part.get("type") == "text")


def _finish(reason: str, *, has_calls: bool) -> FinishReason:
    found = _FINISH.get(reason, "stop")
    return "tool_calls" if has_calls and found == "stop" else found


def _usage(usage: JsonObject) -> Usage:
    return Usage(
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
        cached_tokens=count(child(usage, "prompt_tokens_details"), "cached_tokens"),
    )


def _logprobs(logprobs: JsonObject) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            token=text(each, "token"),
            logprob=number(each, "logprob"),
            top=tuple((text(other, "token"), number(other, "logprob")) for other in children(each, "top_logprobs")),
        )
        for each in children(logprobs, "content")
    )
