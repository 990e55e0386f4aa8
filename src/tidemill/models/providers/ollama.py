"""Ollama in its own words: JSON, a line for each piece.

https://docs.ollama.com/api. Its OpenAI dialect, below `/v1`, is another provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from tidemill.core.chat import (
    ChatDelta,
    ChatRequest,
    ChatResponse,
    Connection,
    EmbedResponse,
    FinishReason,
    ToolCallDelta,
    Usage,
)
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Reasoning, Text, ToolCall
from tidemill.models.credentials import Key
from tidemill.models.http_chat import Asked, HttpChat, LineFramer, StreamedAnswer, as_json, unit_object
from tidemill.models.providers.ollama_requests import write_request
from tidemill.models.reading import as_text, child, children, count, text
from tidemill.models.refusals import refusal
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_BASE_URL: Final = "http://localhost:11434"
_KEY: Final = Key()
_FINISH: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}


class OllamaChat(HttpChat):
    """`POST /api/chat`. Without `base_url` it is this machine's own."""

    name = "ollama"

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in Ollama's words."""
        headers, secret = _KEY.read(connection)
        body: JsonObject = {**write_request(request), "stream": stream}
        return Asked(url=_url(connection, "chat"), content=as_json(body), headers=headers, secret=secret)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer."""
        if answer.get("error"):
            raise _error(answer, connection)
        message = child(answer, "message")
        if not message:
            raise Unavailable("ollama answered without a message", where=f"connection/{connection.name}", kind="server")
        parts: list[Part] = []
        if thought := text(message, "thinking"):
            parts.append(Reasoning(text=thought))
        if said := text(message, "content"):
            parts.append(Text(text=said))
        calls = [_call(each, index, answer) for index, each in enumerate(children(message, "tool_calls"))]
        parts += [ToolCall(id=str(each.id), name=str(each.name), arguments=each.arguments) for each in calls]
        return ChatResponse(
            message=Message(role="assistant", parts=tuple(parts) or (Text(text=""),)),
            finish_reason="tool_calls" if calls else _FINISH.get(text(answer, "done_reason"), "stop"),
            usage=_usage(answer),
            model=text(answer, "model"),
        )

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[bytes]:  # noqa: ARG002  (all read alike)
        """What reads one stream."""
        return StreamedAnswer(LineFramer(), LineReader(connection))


class OllamaEmbed:
    """`POST /api/embed`."""

    name = "ollama"

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. `params` may have `dimensions`, `truncate`, `keep_alive` and `options`."""
        headers, secret = _KEY.read(connection)
        given = {name: value for name, value in params.items() if name != "provider_options"}
        body: JsonObject = {**given, "model": model, "input": list(texts)}
        answer = await self._wire.ask(_url(connection, "embed"), body, headers=headers, connection=connection, secret=secret)
        rows = cast("list[Json]", answer.get("embeddings") or [])
        usage = Usage(input_tokens=count(answer, "prompt_eval_count"))
        return EmbedResponse(
            vectors=read_vectors(rows, self.name, connection), usage=usage, model=text(answer, "model") or model
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


class LineReader:
    """Reads the lines of a stream; `done` marks the last one."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason = "stop"
        self._usage = Usage()
        self._calls = 0

    def read(self, unit: bytes) -> Iterator[ChatDelta]:
        """The pieces of one line."""
        line = unit_object(unit, early=self._early())
        if line.get("error"):
            raise _error(line, self._connection)
        message, model = child(line, "message"), text(line, "model") or None
        if thought := text(message, "thinking"):
            yield ChatDelta(reasoning=thought, model=model)
        if said := text(message, "content"):
            yield ChatDelta(text=said, model=model)
        for call in children(message, "tool_calls"):
            yield ChatDelta(tool_call=_call(call, self._calls, line), model=model)
            self._calls += 1
        if line.get("done") is True:
            self._finish = _FINISH.get(text(line, "done_reason"), "stop")
            self._usage = _usage(line)
            self.ended = True

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece. Raises `Unavailable` when the stream stopped before the model did."""
        if not self.ended:
            raise self._early()
        yield ChatDelta(finish_reason="tool_calls" if self._calls else self._finish, usage=self._usage)

    def _early(self) -> Unavailable:
        return Unavailable("ollama: the stream ended early", where=f"connection/{self._connection.name}", kind="connection")


def _call(call: JsonObject, index: int, answer: JsonObject) -> ToolCallDelta:
    """A call; where it has no id, one that no other answer's has."""
    function = child(call, "function")
    made = f"call_{''.join(each for each in text(answer, 'created_at') if each.isalnum())}_{index}"
    arguments = as_text(function.get("arguments")) or "{}"
    return ToolCallDelta(index=index, id=text(call, "id") or made, name=text(function, "name"), arguments=arguments)


def _usage(answer: JsonObject) -> Usage:
    return Usage(input_tokens=count(answer, "prompt_eval_count"), output_tokens=count(answer, "eval_count"))


def _error(answer: JsonObject, connection: Connection) -> TidemillError:
    return refusal(500, as_text(answer), provider="ollama", connection=connection.name)


def _url(connection: Connection, path: str) -> str:
    return f"{(connection.base_url or _BASE_URL).rstrip('/').removesuffix('/api').removesuffix('/v1')}/api/{path}"
