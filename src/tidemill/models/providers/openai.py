"""OpenAI's chat completions and embeddings, and everything that speaks the same dialect at another URL.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import array
import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, cast

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse, Secret, Usage, Vectors
from tidemill.core.errors import Unavailable
from tidemill.core.extend import AnswerReader, RawAnswer
from tidemill.core.json import Json, JsonObject
from tidemill.models.beside import BesideBytes, BesideStream, BesideWhole
from tidemill.models.connections import read_headers, read_secret
from tidemill.models.http_chat import EventFramer, StreamedAnswer
from tidemill.models.providers.openai_answers import StreamReader, read_answer, read_error
from tidemill.models.providers.openai_events import TypedEvents, read_response, read_used
from tidemill.models.providers.openai_requests import NAME, write_request
from tidemill.models.reading import child, children, count, text
from tidemill.models.wire import Wire

_PATHS: Final[Mapping[Dialect, str]] = {
    "openai.chat": "/chat/completions", "openai.completions": "/completions", "openai.responses": "/responses",
    "openai.embeddings": "/embeddings", "openai.moderations": "/moderations", "openai.images": "/images/generations",
    "openai.transcriptions": "/audio/transcriptions", "openai.speech": "/audio/speech",
}  # fmt: skip
_RENAMED: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "openai.chat": {"max_tokens": "max_completion_tokens"},
    "openai.responses": {"max_tokens": "max_output_tokens"},
}
_RESPONSES: Final = frozenset({"temperature", "top_p", "max_tokens", "parallel_tool_calls", "top_logprobs", "service_tier"})
_HOLDS: Final[Mapping[Dialect, str]] = {
    "openai.embeddings": "data", "openai.moderations": "results", "openai.images": "data",
}  # fmt: skip
_NO_CHAT: Final = frozenset({"openai.embeddings", "openai.moderations", "openai.images", "openai.transcriptions"})


class _Client:
    """Where to send, and as whom. A seller who speaks the dialect elsewhere is a subclass with a name, an address and a key."""

    name = "openai"
    base_url = "https://api.openai.com/v1"
    key: Secret | None = Secret(reference="env:OPENAI_API_KEY")

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    def is_official(self, connection: Connection) -> bool:
        """Whether this is OpenAI's own server, which has renamed fields."""
        return connection.base_url is None and self.name == "openai"

    def url(self, connection: Connection, path: str) -> str:
        """Where a path of the dialect is."""
        return (connection.base_url or self.base_url).rstrip("/") + path

    def credentials(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The headers that say who asks, and the secret among them."""
        headers = read_headers(connection)
        key = connection.api_key or (self.key if connection.base_url is None else None)
        if key is None:
            return headers, None
        secret = read_secret(key, connection)
        return {"authorization": f"Bearer {secret}", **headers}, secret

    async def _ask(self, path: str, body: JsonObject, connection: Connection) -> JsonObject:
        headers, secret = self.credentials(connection)
        answer = await self._wire.ask(self.url(connection, path), body, headers=headers, connection=connection, secret=secret)
        if answer.get("error"):
            raise read_error(answer, connection)
        return answer

    async def post(self, path: str, body: JsonObject, *, connection: Connection) -> JsonObject:
        """What else a server of this dialect answers, such as llama.cpp's `/tokenize`."""
        return await self._ask(path, body, connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


class OpenAIChat(_Client):
    """`POST /chat/completions`. Without `base_url` it is OpenAI's own, and the key is that of `OPENAI_API_KEY`."""

    writes: Dialect = NAME
    dialects: frozenset[Dialect] = frozenset(_PATHS)

    def write(self, request: ChatRequest, connection: Connection) -> dict[str, Json]:
        """The body of a request, but for whether it is streamed."""
        return write_request(request, official=self.is_official(connection))

    def finish(self, body: dict[str, Json]) -> dict[str, Json]:
        """A request for a stream, as this server takes it."""
        return body

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        return read_answer(await self._ask("/chat/completions", self.write(request, connection), connection), connection)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive, and more at the end with the finish reasons and the usage."""
        body = self.write(request, connection)
        body |= {"stream": True, "stream_options": {**child(body, "stream_options"), "include_usage": True}}
        body = self.finish(body)
        headers, secret = self.credentials(connection)
        url = self.url(connection, "/chat/completions")
        reader = StreamReader(connection)
        async with aclosing(self._wire.events(url, body, headers=headers, connection=connection, secret=secret)) as events:
            async for event in events:
                for delta in reader.read(event):
                    yield delta
                if reader.ended:
                    break
        for delta in reader.ending():
            yield delta

    def speaks(self, dialect: Dialect, connection: Connection) -> bool:
        """Responses are OpenAI's own; what other servers make of them is less than what they make of chat completions."""
        return dialect != "openai.responses" or self.is_official(connection)

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:
        """A model's own parameters in the words of one of OpenAI's doors."""
        if dialect in _NO_CHAT or dialect == "openai.speech":
            return {}
        found = {name: value for name, value in params.items() if dialect != "openai.responses" or name in _RESPONSES}
        if dialect == "openai.chat" and not self.is_official(connection):
            return found
        renamed = _RENAMED.get(dialect, {})
        return {renamed.get(name, name): value for name, value in found.items()}

    async def forward(
        self,
        dialect: Dialect,
        body: bytes,
        *,
        model: str,  # noqa: ARG002  (it stands in the body)
        connection: Connection,
        stream: bool,
        headers: Mapping[str, str],
    ) -> RawAnswer:
        """Send a request as it is written, and wait for the answer's head."""
        own, secret = self.credentials(connection)
        url = self.url(connection, _PATHS[dialect])
        shown, chunks = await self._wire.open(url, body, headers={**headers, **own}, connection=connection, secret=secret)
        reader = _reader(dialect, shown.get("content-type", ""), connection, stream=stream)
        return RawAnswer(status=200, headers=shown, chunks=chunks, reader=reader)


class OpenAIEmbed(_Client):
    """`POST /embeddings`."""

    batch_size = 256

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order."""
        body = {**params, "model": model, "input": list(texts)}
        answer = await self._ask("/embeddings", body, connection)
        rows = sorted(children(answer, "data"), key=lambda row: count(row, "index"))
        usage = child(answer, "usage")
        return EmbedResponse(
            vectors=_vectors([row.get("embedding") for row in rows], connection),
            usage=Usage(input_tokens=count(usage, "prompt_tokens") or count(usage, "total_tokens")),
            model=text(answer, "model"),
        )


def _reader(dialect: Dialect, content_type: str, connection: Connection, *, stream: bool) -> AnswerReader:
    """What reads an answer beside its bytes."""
    kind = content_type.partition(";")[0].strip().lower()
    is_json = kind.endswith("json")
    if dialect == "openai.speech" or (dialect == "openai.transcriptions" and not is_json and kind != "text/event-stream"):
        return BesideBytes() if not is_json else BesideWhole(lambda answer: read_used(answer, connection), connection)
    if stream:
        if is_json or kind == "text/html":
            return BesideWhole(lambda answer: _not_streamed(answer, connection), connection)
        if dialect in {"openai.chat", "openai.completions"}:
            return BesideStream(StreamedAnswer(EventFramer(), StreamReader(connection)))
        return BesideStream(StreamedAnswer(EventFramer(), TypedEvents(connection)))
    if dialect in {"openai.chat", "openai.completions"}:
        return BesideWhole(lambda answer: _whole(answer, connection), connection)
    if dialect == "openai.responses":
        return BesideWhole(lambda answer: read_response(answer, connection), connection)
    return BesideWhole(lambda answer: _made(answer, connection, _HOLDS.get(dialect, "")), connection)


def _made(answer: JsonObject, connection: Connection, name: str) -> ChatResponse:
    """An answer that is a list of what was made."""
    used = read_used(answer, connection)
    if name and not children(answer, name):
        raise Unavailable(f"{connection.provider} answered without {name}", where=_where(connection), kind="server")
    return used


def _whole(answer: JsonObject, connection: Connection) -> ChatResponse:
    if answer.get("error"):
        raise read_error(answer, connection)
    return read_answer(answer, connection)


def _not_streamed(answer: JsonObject, connection: Connection) -> ChatResponse:
    if answer.get("error"):
        raise read_error(answer, connection)
    said = f"{connection.provider} answered whole where a stream was asked for"
    raise Unavailable(said, where=_where(connection), kind="server")


def _vectors(rows: Sequence[Json], connection: Connection) -> Vectors:
    """Pack lists of numbers, or base64 of 32-bit floats where the caller asked for that."""
    try:
        packed = [
            base64.b64decode(row, validate=True)
            if isinstance(row, str)
            else array.array("f", cast("Sequence[float]", row)).tobytes()
            for row in rows
        ]
    except (TypeError, binascii.Error) as error:
        raise Unavailable(
            f"openai answered with vectors that are not lists of numbers: {error}", where=_where(connection)
        ) from error
    width = len(packed[0]) if packed else 0
    if any(len(each) != width for each in packed) or not width or width % 4:
        raise Unavailable("openai answered with vectors of different or no length", where=_where(connection))
    return Vectors(dimensions=width // 4, data=b"".join(packed))


def _where(connection: Connection) -> str:
    return f"connection/{connection.name}"
