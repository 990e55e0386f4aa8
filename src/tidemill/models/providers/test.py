# ruff: noqa: ARG002  (arguments that the Protocols prescribe)
"""`provider: test`: a deterministic model for tests of this project and of its users.

It needs no network and no weights. It answers by a script, by a template, or with its input; it can be slow and it can fail.
Words stand for tokens.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import anyio
import chevron
import orjson

from tidemill.core.chat import (
    ChatDelta,
    ChatRequest,
    ChatResponse,
    Connection,
    EmbedResponse,
    FinishReason,
    TokenLogprob,
    ToolCallDelta,
    Usage,
    Vectors,
)
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Text, ToolCall, ToolResult
from tidemill.models.assemble import Assembly
from tidemill.models.refusals import refusal

_TOKEN = re.compile(r"\s*\S+|\s+$")
_WORD = re.compile(r"\w+")
# Chevron escapes {{x}} as HTML; {{{x}}} is the same without.
_VARIABLE = re.compile(r"(?<!\{)\{\{\s*([\w.]+)\s*\}\}(?!\})")
_DIMENSIONS = 64
_REMEMBERED = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What will be said, and what will go wrong."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    status: int | None = None
    retry_after: float | None = None
    after_tokens: int | None = None
    delay_s: float = 0.0


class TestChat:
    """Answers as the model's own document says: `script`, then `reply`, else the last user message."""

    __test__ = False  # not a test case, whatever its name suggests to pytest
    name = "test"
    default_model = ""
    connects = False

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._tried: dict[bytes, int] = {}

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """The whole answer, after the time that it takes."""
        assembly = Assembly()
        async for delta in self.stream(request, connection=connection):
            assembly.add(delta)
        return assembly.response()

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """The answer word by word."""
        options = cast("JsonObject", request.params.get("provider_options") or {})
        number = self._next_number(request, options)
        answer = _answer(request, options, number)
        await _sleep(answer.delay_s + _number(options, "first_token_ms") / 1000)
        if self._fails(request, options):
            raise refusal(500, "a failure that fail_rate asked for", provider=self.name, connection=connection.name)
        pause = 1 / rate if (rate := _number(options, "tokens_per_second")) else 0.0
        for said, delta in enumerate(_pieces(answer, request)):
            if answer.after_tokens is not None and said >= answer.after_tokens:
                break
            await _sleep(pause)
            yield delta
        _raise_planned(answer, connection)
        yield _ending(answer, request)

    async def close(self) -> None:
        """Nothing is held."""

    def _next_number(self, request: ChatRequest, options: JsonObject) -> int:
        key = f"{request.model}\0{options.get('reply')}"
        self._calls[key] = self._calls.get(key, 0) + 1
        return self._calls[key]

    def _fails(self, request: ChatRequest, options: JsonObject) -> bool:
        """By chance, but the same in every run: it depends on the seed, the conversation and how often it was tried."""
        rate = _number(options, "fail_rate")
        if rate <= 0:
            return False
        words = repr((options.get("seed"), request.model, request.messages)).encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(words, digest_size=8).digest()
        if len(self._tried) >= _REMEMBERED:
            self._tried.clear()
        self._tried[key] = tried = self._tried.get(key, 0) + 1
        drawn = hashlib.blake2b(key + tried.to_bytes(4, "big"), digest_size=8).digest()
        return int.from_bytes(drawn, "big") / 2**64 < rate


class TestEmbed:
    """Hashed bags of words: texts that share words are near each other. `params.dimensions` (default 64) sets the length."""

    __test__ = False
    name = "test"
    default_model = ""
    connects = False
    batch_size = 1024

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """One unit vector a text, always the same for the same text."""
        dimensions = int(_number(params, "dimensions") or _DIMENSIONS)
        vectors = [_bag_of_words(text, dimensions) for text in texts]
        usage = Usage(input_tokens=sum(len(text.split()) for text in texts))
        return EmbedResponse(vectors=Vectors.from_lists(vectors), usage=usage, model=model)

    async def close(self) -> None:
        """Nothing is held."""


def _answer(request: ChatRequest, options: JsonObject, number: int) -> _Answer:
    asked, told = _last_words(request.messages)
    values = {"input": asked, "n": number}
    for row in cast("Sequence[JsonObject]", options.get("script") or ()):
        calls = _tool_calls(row, number)
        if _matches(row, asked, told) and not (calls and _were_made(calls, request.messages)):
            status, after = row.get("status"), row.get("after_tokens")
            fails = isinstance(status, int) and status >= 400
            return _Answer(
                text=_reply(row.get("reply"), values) if "reply" in row else "" if calls else asked,
                calls=calls,
                status=cast("int", status) if fails else None,
                retry_after=cast("float | None", row.get("retry_after")),
                after_tokens=after if isinstance(after, int) else 0 if fails else None,
                delay_s=_number(row, "delay_ms") / 1000,
            )
    if options.get("reply") is not None:
        return _Answer(text=_reply(options["reply"], values))
    return _Answer(text=asked if told is None else told)


def _last_words(messages: Sequence[Message]) -> tuple[str, str | None]:
    """The last user message, and what the tools answered when theirs are the last words."""
    asked = next((each.text for each in reversed(messages) if each.role == "user" and each.text), "")
    results = [part.content for part in messages[-1].parts if isinstance(part, ToolResult)] if messages else []
    if messages and messages[-1].role == "tool" and not results:
        results = [messages[-1].text]
    return asked, "\n".join(results) if results else None


def _matches(row: JsonObject, asked: str, told: str | None) -> bool:
    pattern = row.get("when")
    if pattern is None:
        return True
    return any(text is not None and re.search(str(pattern), text) for text in (asked, told))


def _were_made(calls: Sequence[ToolCall], messages: Sequence[Message]) -> bool:
    """Whether the model asked for these already since the user last spoke; the script then goes on to its next row."""
    made: set[tuple[str, str]] = set()
    for message in reversed(messages):
        if message.role == "user" and not any(isinstance(part, ToolResult) for part in message.parts):
            break
        made |= {(each.name, _plainly(each.arguments)) for each in message.tool_calls}
    return all((each.name, _plainly(each.arguments)) in made for each in calls)


def _plainly(arguments: str) -> str:
    """The same text for the same arguments, however a client wrote them when it sent them back."""
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONDecodeError:
        return arguments


def _tool_calls(row: JsonObject, number: int) -> tuple[ToolCall, ...]:
    rows = cast("Sequence[JsonObject]", row.get("tool_calls") or ())
    return tuple(_tool_call(each, f"call_{number}_{index}") for index, each in enumerate(rows))


def _tool_call(row: JsonObject, default_id: str) -> ToolCall:
    function = cast("JsonObject", row.get("function") or row)
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(id=str(row.get("id") or default_id), name=str(function.get("name")), arguments=text)


def _reply(reply: Json, values: Mapping[str, Json]) -> str:
    template = reply if isinstance(reply, str) else orjson.dumps(reply).decode()
    if "{{" not in template:
        return template
    render = cast("Any", chevron).render
    return str(render(_VARIABLE.sub(r"{{{\1}}}", template), values, partials_path=None))


def _pieces(answer: _Answer, request: ChatRequest) -> Iterator[ChatDelta]:
    wants_logprobs = bool(request.params.get("logprobs"))
    for token in _spoken(answer, request)[0]:
        yield ChatDelta(text=token, model=request.model, logprobs=(_logprob(token),) if wants_logprobs else ())
    for index, call in enumerate(answer.calls):
        yield ChatDelta(
            tool_call=ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments), model=request.model
        )


def _spoken(answer: _Answer, request: ChatRequest) -> tuple[list[str], FinishReason]:
    """The tokens that `max_tokens` allows, and why they end."""
    tokens = _TOKEN.findall(answer.text)
    most = request.params.get("max_tokens")
    if isinstance(most, int) and len(tokens) > most:
        return tokens[:most], "length"
    return tokens, "tool_calls" if answer.calls else "stop"


def _ending(answer: _Answer, request: ChatRequest) -> ChatDelta:
    tokens, reason = _spoken(answer, request)
    words = sum(_words_of(message) for message in request.messages)
    said = len("".join(tokens).split()) + sum(len(each.arguments.split()) for each in answer.calls)
    usage = Usage(input_tokens=words, output_tokens=said)
    return ChatDelta(finish_reason=reason, usage=usage, model=request.model, fingerprint="test")


def _words_of(message: Message) -> int:
    texts = [
        part.text if isinstance(part, Text) else part.content for part in message.parts if isinstance(part, Text | ToolResult)
    ]
    return sum(len(text.split()) for text in texts)


def _raise_planned(answer: _Answer, connection: Connection) -> None:
    if answer.status is not None:
        raise refusal(
            answer.status, "the script says so", provider="test", connection=connection.name, retry_after=answer.retry_after
        )
    if answer.after_tokens is not None:
        raise Unavailable("test: the stream ended early", where=f"connection/{connection.name}")


def _logprob(token: str) -> TokenLogprob:
    """A number that depends on the token alone."""
    share = (int.from_bytes(hashlib.blake2b(token.encode(), digest_size=2).digest(), "big") + 1) / 2**16
    return TokenLogprob(token=token, logprob=math.log(share))


def _bag_of_words(text: str, dimensions: int) -> list[float]:
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [""]:
        drawn = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        vector[drawn % dimensions] += 1.0 if drawn >> 63 else -1.0
    length = math.sqrt(sum(each * each for each in vector))
    if not length:
        return [1.0, *vector[1:]]
    return [each / length for each in vector]


def _number(options: JsonObject, name: str) -> float:
    value = options.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await anyio.sleep(seconds)
