"""Models on Amazon Bedrock, by Converse; Anthropic's also in their own words, by invoking them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, cast
from urllib.parse import quote

import orjson

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse, Usage
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Invalid
from tidemill.core.extend import RawAnswer
from tidemill.core.json import Json, JsonObject
from tidemill.models.beside import BesideStream
from tidemill.models.forwarding import forward_whole
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json
from tidemill.models.providers import anthropic_answers
from tidemill.models.providers.anthropic import raw_params
from tidemill.models.providers.anthropic_requests import betas_of
from tidemill.models.providers.anthropic_requests import write_request as write_messages
from tidemill.models.providers.aws_events import Frame
from tidemill.models.providers.aws_keys import OPTIONS, authorised, region_of
from tidemill.models.providers.bedrock_answers import ConverseReader, FrameFramer, InvokeReader, event_of, read_answer
from tidemill.models.providers.bedrock_requests import NAME, write_request
from tidemill.models.reading import child, children, count
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_VERSION: Final = "bedrock-2023-05-31"
_FRAMES: Final = "application/vnd.amazon.eventstream"


class BedrockChat(HttpChat):
    """`POST /model/MODEL/converse`. Without `base_url` the address follows from the region."""

    name = "bedrock"
    writes = NAME
    dialects: frozenset[Dialect] = frozenset({"anthropic.messages"})
    connection_options: Mapping[str, str] = {
        **OPTIONS,
        "api": "`converse` (the default), or `invoke`: Anthropic's models in Anthropic's own words.",
    }

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in Converse's words, signed."""
        if _invokes(connection, request.model):
            body: dict[str, Json] = {**write_messages(request), "anthropic_version": _VERSION}
            del body["model"]
            if betas := betas_of(request):
                body["anthropic_beta"] = betas.split(",")
            action = "invoke-with-response-stream" if stream else "invoke"
        else:
            body, action = write_request(request), "converse-stream" if stream else "converse"
        return self.asked(request.model, action, as_json(body), connection)

    def asked(self, model: str, action: str, content: bytes, connection: Connection) -> Asked:
        """A body for one of a model's actions, addressed and signed."""
        url = _url(connection, model, action)
        accept = {"accept": _FRAMES if "stream" in action else "application/json"}
        headers, secret = authorised(url, content, accept, connection, service="bedrock", clock=self._clock)
        return Asked(url=url, content=content, headers=headers, secret=secret)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer; those that were invoked have a `content`."""
        return (anthropic_answers.read_answer if "content" in answer else read_answer)(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[Frame]:
        """What reads one stream."""
        made = InvokeReader(connection) if _invokes(connection, model) else ConverseReader(connection)
        return StreamedAnswer(FrameFramer(), made)

    def speaks(self, dialect: Dialect, connection: Connection) -> bool:  # noqa: ARG002  (there is one)
        """Anthropic's dialect where the connection says `api: invoke`."""
        return connection.options.get("api") == "invoke"

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:  # noqa: ARG002
        """A model's own parameters in Anthropic's words."""
        return raw_params(params)

    async def forward(
        self,
        dialect: Dialect,  # noqa: ARG002  (there is one)
        body: bytes,
        *,
        model: str,
        connection: Connection,
        stream: bool,
        headers: Mapping[str, str],
    ) -> RawAnswer:
        """Invoke a model of Anthropic's with what its client wrote; frames become the events that they hold."""
        if not _invokes(connection, model):
            hint = "Leave api: invoke out of the connection's options."
            where = f"connection/{connection.name}"
            raise Invalid(f"{model} is not a model of Anthropic's", where=where, hint=hint, kind="invalid")
        fields = dict(cast("JsonObject", orjson.loads(body)))
        for name in ("model", "stream"):
            fields.pop(name, None)
        fields["anthropic_version"] = _VERSION
        if betas := headers.get("anthropic-beta"):
            fields["anthropic_beta"] = betas.split(",")
        asked = self.asked(model, "invoke-with-response-stream" if stream else "invoke", as_json(fields), connection)
        if not stream:

            def read(answer: JsonObject) -> ChatResponse:
                return anthropic_answers.read_answer(answer, connection)

            return await forward_whole(self._wire, asked, read, connection=connection)
        _, frames = await self._wire.open(
            asked.url, asked.content, headers=asked.headers, connection=connection, secret=asked.secret
        )
        reader = BesideStream(StreamedAnswer(EventFramer(), anthropic_answers.MessageReader(connection)))
        chunks = _as_events(frames, connection)
        return RawAnswer(status=200, headers={"content-type": "text/event-stream"}, chunks=chunks, reader=reader)


async def _as_events(source: AsyncGenerator[bytes], connection: Connection) -> AsyncGenerator[bytes]:
    framer = FrameFramer()
    async with aclosing(source) as pieces:
        async for piece in pieces:
            events = [event for frame in framer.feed(piece) if (event := event_of(frame, connection)) is not None]
            if events:
                yield b"".join(_event(each) for each in events)
    framer.end()


def _event(content: bytes) -> bytes:
    kind = cast("JsonObject", orjson.loads(content)).get("type")
    return b"event: %b\ndata: %b\n\n" % (str(kind).encode(), content)


class BedrockEmbed:
    """`POST /model/MODEL/invoke` of the embedding models of Amazon and Cohere."""

    name = "bedrock"
    connection_options: Mapping[str, str] = OPTIONS
    batch_size = 96

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._wire = Wire(self.name)
        self._clock = clock or SystemClock()

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order: Amazon's models take one at a time. `params` may have `dimensions`, and their own."""
        given = {name: value for name, value in params.items() if name != "provider_options"}
        if "cohere." in model:
            answer = await self._ask(model, _cohere(texts, given), connection)
            found = answer.get("embeddings")
            rows = found.get("float") if isinstance(found, Mapping) else found
            return EmbedResponse(vectors=read_vectors(cast("list[Json]", rows or []), self.name, connection), model=model)
        write = _nova if "nova" in model else _titan
        answers = [await self._ask(model, write(each, given), connection) for each in texts]
        rows = [_vector(each) for each in answers]
        tokens = sum(count(each, "inputTextTokenCount") for each in answers)
        return EmbedResponse(vectors=read_vectors(rows, self.name, connection), usage=Usage(input_tokens=tokens), model=model)

    async def _ask(self, model: str, body: JsonObject, connection: Connection) -> JsonObject:
        url, content = _url(connection, model, "invoke"), as_json(body)
        headers, secret = authorised(url, content, {}, connection, service="bedrock", clock=self._clock)
        return await self._wire.ask(url, content, headers=headers, connection=connection, secret=secret)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _vector(answer: JsonObject) -> Json:
    return answer.get("embedding") or next((each.get("embedding") for each in children(answer, "embeddings")), None)


def _titan(text: str, given: JsonObject) -> JsonObject:
    return {"inputText": text, **given}


def _nova(text: str, given: JsonObject) -> JsonObject:
    said: dict[str, Json] = {"embeddingPurpose": "GENERIC_RETRIEVAL", **child(given, "singleEmbeddingParams")}
    if given.get("dimensions") is not None:
        said["embeddingDimension"] = given["dimensions"]
    said["text"] = {"value": text, "truncationMode": given.get("truncationMode") or "NONE"}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": said}


def _cohere(texts: Sequence[str], given: JsonObject) -> JsonObject:
    rest = {name: value for name, value in given.items() if name != "dimensions"}
    if given.get("dimensions") is not None:
        rest["output_dimension"] = given["dimensions"]
    return {"texts": list(texts), "input_type": "search_document", **rest}


def _invokes(connection: Connection, model: str) -> bool:
    return connection.options.get("api") == "invoke" and "anthropic." in model


def _url(connection: Connection, model: str, action: str) -> str:
    base = connection.base_url or f"https://bedrock-runtime.{region_of(connection)}.amazonaws.com"
    return f"{base.rstrip('/')}/model/{quote(model, safe='.-_~')}/{action}"
