"""Answers in OpenAI's words, read as ours. Servers that speak the dialect differ; what they are known to do is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

import orjson

from tidemill.core.chat import (
    AudioDelta,
    ChatDelta,
    ChatResponse,
    Choice,
    Connection,
    FinishReason,
    ToolCallDelta,
    Usage,
)
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, Message, Other, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.models.events import ServerEvent
from tidemill.models.providers.openai_frame import Frame
from tidemill.models.providers.openai_logprobs import read_logprobs
from tidemill.models.providers.openai_requests import NAME
from tidemill.models.reading import as_text, child, children, count, said, text
from tidemill.models.refusals import refusal

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls",
    "content_filter": "content_filter", "error": "error", "max_tokens": "length", "model_length": "length",
}  # fmt: skip
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_COUNTS: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_TOP: Final = frozenset({"object", "model", "choices", "usage", "system_fingerprint", "obfuscation"})
_MESSAGE: Final = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "audio", *_THOUGHTS})
_COMMON: Final = frozenset({"role", "content", "refusal"})
_FRAME: Final = frozenset({"index", "message", "finish_reason", "logprobs"})
_CHOICE: Final = frozenset({"index", "message", "delta", "finish_reason", "logprobs", "text"})


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole `chat.completion`. Raises `Unavailable` when it holds no choice."""
    choices = [_choice(each, place) for place, each in enumerate(children(answer, "choices"))]
    if not choices:
        where = f"connection/{connection.name}"
        raise Unavailable(f"{connection.provider} answered without any choice", where=where, kind="server")
    first = choices[0]
    extra: JsonObject = {**_rest(answer, _TOP), **said(first.extra, NAME)}
    return ChatResponse(
        message=first.message,
        finish_reason=first.finish_reason,
        usage=read_usage(child(answer, "usage")),
        model=text(answer, "model"),
        fingerprint=text(answer, "system_fingerprint") or None,
        logprobs=first.logprobs,
        others=tuple(choices[1:]),
        extra={NAME: extra} if extra else {},
    )


def _choice(choice: JsonObject, place: int) -> Choice:
    message = child(choice, "message")
    if message.keys() <= _COMMON and not choice.keys() - _FRAME and (plain := _plain(choice, message, place)) is not None:
        return plain
    calls = [_tool_call(each, index) for index, each in enumerate(_calls(message))]
    parts = [*_thoughts(message), *_content(message.get("content") if message else choice.get("text"))]
    if refused := text(message, "refusal"):
        parts.append(Refusal(text=refused))
    if spoken := child(message, "audio"):
        parts.append(_audio(spoken))
    if not (parts or calls):
        parts.append(Text(text=""))
    rest, extra = _rest(message, _MESSAGE), _rest(choice, _CHOICE)
    return Choice(
        index=count(choice, "index") or place,
        message=Message(role="assistant", parts=(*parts, *calls), extra={NAME: rest} if rest else {}),
        finish_reason=_finish(text(choice, "finish_reason"), has_calls=bool(calls)),
        logprobs=read_logprobs(child(choice, "logprobs")),
        extra={NAME: extra} if extra else {},
    )


def _plain(choice: JsonObject, message: JsonObject, place: int) -> Choice | None:
    """The choice where it is what most are: a text, and nothing besides."""
    words, finish, index = message.get("content"), choice.get("finish_reason"), choice.get("index")
    if not isinstance(words, str) or not words or not isinstance(finish, str) or index != place:
        return None
    if message.get("refusal") or choice.get("logprobs"):
        return None
    return Choice(
        index=place,
        message=Message(role="assistant", parts=(Text(text=words),)),
        finish_reason=_finish(finish, has_calls=False),
    )


def read_error(answer: JsonObject, connection: Connection) -> TidemillError:
    """The error in a body or a chunk that came with a status of 200; its code may be a status."""
    error = child(answer, "error")
    given = count(error, "code") or count(error, "status")
    by_default = 400 if text(error, "type") == "invalid_request_error" else 500
    status = given if 400 <= given < 600 else by_default
    return refusal(status, as_text(answer), provider=connection.provider, connection=connection.name)


@dataclass(kw_only=True, slots=True)
class _Open:
    """What of one choice belongs at its end."""

    finish: str = ""
    last: int = -1


class StreamReader:
    """Reads `chat.completion.chunk`s. What belongs at the end is kept back until `ending`."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._choices: dict[int, _Open] = {}
        self._usage: Usage | None = None
        self._indices: dict[str, int] = {}
        self._said: dict[str, Json] = {}
        self._frame = Frame()

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """The pieces of one chunk. Raises `Unavailable` for half a chunk, and the provider's own error when it holds one."""
        data = unit.data
        if (again := self._frame.read(data)) is not None:
            yield again
            return
        if data.strip() == "[DONE]":
            self.ended = True
            return
        try:
            chunk = cast("Json", orjson.loads(data))
        except orjson.JSONDecodeError:
            raise self._early() from None
        if not isinstance(chunk, dict | Mapping):
            return
        if (plain := self._plain(chunk)) is not None:
            self._frame.learn(data, plain)
            yield plain
            return
        if chunk.get("error"):
            raise read_error(chunk, self._connection)
        usage = child(chunk, "usage") or child(child(chunk, "x_groq"), "usage")
        if usage:
            self._usage = read_usage(usage)
        if usage or not self._choices:
            self._said |= _rest(chunk, _TOP)
        model, fingerprint = text(chunk, "model") or None, text(chunk, "system_fingerprint") or None
        for choice in children(chunk, "choices"):
            yield from self._choice(choice, model, fingerprint)

    def _plain(self, chunk: JsonObject) -> ChatDelta | None:
        """The piece of a chunk that is what most are: some more text of a choice that has begun, and nothing besides."""
        choices = chunk.get("choices")
        if chunk.get("usage") or chunk.get("error") or "x_groq" in chunk or not isinstance(choices, list) or len(choices) != 1:
            return None
        choice = choices[0]
        if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("logprobs"):
            return None
        delta, index = choice.get("delta"), choice.get("index")
        if not isinstance(delta, dict) or len(delta) != 1 or not isinstance(index, int) or index not in self._choices:
            return None
        words = delta.get("content")
        if not isinstance(words, str):
            return None
        model, fingerprint = text(chunk, "model") or None, text(chunk, "system_fingerprint") or None
        return ChatDelta(choice=index, text=words, model=model, fingerprint=fingerprint)

    def _choice(self, choice: JsonObject, model: str | None, fingerprint: str | None) -> Iterator[ChatDelta]:
        index = count(choice, "index")
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Open()
        state.finish = text(choice, "finish_reason") or state.finish
        delta = child(choice, "delta")
        words, thought, others = _spoken(delta.get("content", choice.get("text")))
        for name in _THOUGHTS:
            if not thought and isinstance(found := delta.get(name), str):
                thought = found
        yield ChatDelta(
            choice=index,
            text=words,
            reasoning=thought,
            refusal=text(delta, "refusal"),
            model=model,
            fingerprint=fingerprint,
            logprobs=read_logprobs(child(choice, "logprobs")),
            audio=_audio_piece(child(delta, "audio")) if "audio" in delta else None,
        )
        for part in others:
            yield ChatDelta(choice=index, part=part)
        for call in _calls(delta):
            yield ChatDelta(choice=index, tool_call=self._call_piece(call, state, index))

    def _call_piece(self, call: JsonObject, state: _Open, choice: int) -> ToolCallDelta:
        function = child(call, "function") or child(call, "custom")
        call_id = text(call, "id")
        arguments = function.get("arguments", function.get("input"))
        return ToolCallDelta(
            index=self._index(call, call_id, state, choice),
            id=call_id or None,
            name=text(function, "name") or None,
            arguments=as_text(arguments),
        )

    def _index(self, call: JsonObject, call_id: str, state: _Open, choice: int) -> int:
        """Which call a piece belongs to: by its index; by its id where a server leaves the index away; else the last."""
        given = call.get("index")
        if isinstance(given, int):
            state.last = given
        elif call_id:
            state.last = self._indices.setdefault(f"{choice}:{call_id}", len(self._indices))
        return max(state.last, 0)

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece of each choice. Raises `Unavailable` when the stream stopped before the model did."""
        if not self._choices or not (self.ended or all(each.finish for each in self._choices.values())):
            raise self._early()
        last = max(self._choices)
        for index, each in sorted(self._choices.items()):
            yield ChatDelta(
                choice=index,
                finish_reason=_finish(each.finish, has_calls=each.last >= 0),
                usage=self._usage if index == last else None,
                extra={NAME: self._said} if index == last and self._said else None,
            )

    def _early(self) -> Unavailable:
        problem = f"{self._connection.provider}: the stream ended early"
        return Unavailable(problem, where=f"connection/{self._connection.name}", kind="connection")


def _rest(value: JsonObject, known: frozenset[str]) -> dict[str, Json]:
    """What has no name here, where it says something."""
    return {name: each for name, each in value.items() if name not in known and each is not None and each != []}


def _calls(message: JsonObject) -> list[JsonObject]:
    """The tool calls of a message or delta, also in the form with one `function_call` that came before them."""
    calls = children(message, "tool_calls")
    function = child(message, "function_call")
    return calls or ([{"index": 0, "id": "call_0", "function": function}] if any(function.values()) else [])


def _tool_call(call: JsonObject, index: int) -> ToolCall:
    function, is_custom = child(call, "function"), call.get("type") == "custom"
    if is_custom:
        function = child(call, "custom")
    return ToolCall(
        id=text(call, "id") or f"call_{index}",
        name=text(function, "name"),
        arguments=as_text(function.get("input" if is_custom else "arguments")),
        extra={NAME: {"type": "custom"}} if is_custom else {},
    )


def _thoughts(message: JsonObject) -> list[Part]:
    for name in _THOUGHTS:
        if found := text(message, name):
            return [Reasoning(text=found, extra={NAME: {"field": name}})]
    return []


def _content(content: Json) -> list[Part]:
    """Text, or a list of parts, of which one may be what the model thought."""
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    words, thought, others = _spoken(content)
    parts: list[Part] = [Reasoning(text=thought)] if thought else []
    return [*parts, *([Text(text=words)] if words else []), *others]


def _spoken(content: Json) -> tuple[str, str, list[Part]]:
    """Text, thoughts and other parts of a content."""
    if isinstance(content, str):
        return content, "", []
    if not content:
        return "", "", []
    words, thought, others = list[str](), list[str](), list[Part]()
    for part in children({"parts": content}, "parts"):
        kind = part.get("type")
        if kind == "text":
            words.append(text(part, "text"))
        elif kind == "thinking":
            inner = part.get("thinking")
            thought.append(
                inner if isinstance(inner, str) else "".join(text(each, "text") for each in children(part, "thinking"))
            )
        else:
            others.append(Other(dialect=NAME, value=part))
    return "".join(words), "".join(thought), others


def _audio(spoken: JsonObject) -> Audio:
    rest = {name: value for name, value in spoken.items() if name != "data" and value is not None}
    return Audio(media_type="audio/wav", data=text(spoken, "data"), extra={NAME: rest})


def _audio_piece(spoken: JsonObject) -> AudioDelta:
    return AudioDelta(
        data=text(spoken, "data"),
        transcript=text(spoken, "transcript"),
        id=text(spoken, "id") or None,
        expires=count(spoken, "expires_at") or None,
    )


def _finish(reason: str, *, has_calls: bool) -> FinishReason:
    found = _FINISH.get(reason, "stop")
    return "tool_calls" if has_calls and found == "stop" else found


def read_usage(usage: JsonObject) -> Usage:
    """Tokens, as servers of this dialect and of `/responses` name them."""
    if usage.keys() <= _COUNTS:
        return Usage(input_tokens=count(usage, "prompt_tokens"), output_tokens=count(usage, "completion_tokens"))
    read = child(usage, "prompt_tokens_details") or child(usage, "input_tokens_details")
    made = child(usage, "completion_tokens_details") or child(usage, "output_tokens_details")
    return Usage(
        input_tokens=count(usage, "prompt_tokens") or count(usage, "input_tokens"),
        output_tokens=count(usage, "completion_tokens") or count(usage, "output_tokens"),
        cached_tokens=count(read, "cached_tokens") or count(usage, "prompt_cache_hit_tokens"),
        cache_write_tokens=count(read, "cache_write_tokens"),
        reasoning_tokens=count(made, "reasoning_tokens"),
        audio_input_tokens=count(read, "audio_tokens"),
        audio_output_tokens=count(made, "audio_tokens"),
    )
