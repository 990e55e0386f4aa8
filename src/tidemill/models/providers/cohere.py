"""Cohere: chat, vectors, and the order of documents.

https://docs.cohere.com/reference/about
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse, Usage
from tidemill.core.extend import RawAnswer
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.models.credentials import Key
from tidemill.models.events import ServerEvent
from tidemill.models.forwarding import forward_whole
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json
from tidemill.models.providers.cohere_answers import EventReader, read_answer
from tidemill.models.providers.cohere_requests import NAME, write_request
from tidemill.models.reading import child, count
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_BASE_URL: Final = "https://api.cohere.com"
_KEY: Final = Key(variable="COHERE_API_KEY")


class CohereChat(HttpChat):
    """`POST /v2/chat`. Without `base_url` it is Cohere's own, and the key is that of `COHERE_API_KEY`."""

    name = "cohere"
    writes = NAME
    dialects: frozenset[Dialect] = frozenset({"cohere.rerank"})

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in Cohere's words."""
        headers, secret = _KEY.read(connection)
        body: JsonObject = {**write_request(request), "stream": stream}
        return Asked(url=_url(connection, "chat"), content=as_json(body), headers=headers, secret=secret)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer."""
        return read_answer(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[ServerEvent]:  # noqa: ARG002  (all read alike)
        """What reads one stream."""
        return StreamedAnswer(EventFramer(), EventReader(connection))

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:  # noqa: ARG002
        """A model's own parameters, as they are."""
        return params

    async def forward(
        self,
        dialect: Dialect,  # noqa: ARG002  (there is one)
        body: bytes,
        *,
        model: str,
        connection: Connection,
        stream: bool,  # noqa: ARG002  (it comes whole)
        headers: Mapping[str, str],  # noqa: ARG002  (none says anything here)
    ) -> RawAnswer:
        """Ask `POST /v2/rerank` as it is written."""
        own, secret = _KEY.read(connection)
        asked = Asked(url=_url(connection, "rerank"), content=body, headers=own, secret=secret)

        def read(answer: JsonObject) -> ChatResponse:
            return ChatResponse(message=Message(role="assistant"), usage=_billed(answer), model=model)

        return await forward_whole(self._wire, asked, read, connection=connection)


class CohereEmbed:
    """`POST /v2/embed`."""

    name = "cohere"
    batch_size = 96

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. `params` may have `dimensions`, `truncate`, `input_type` (else `search_document`)."""
        headers, secret = _KEY.read(connection)
        given = {name: value for name, value in params.items() if name not in {"dimensions", "provider_options"}}
        if params.get("dimensions") is not None:
            given["output_dimension"] = params["dimensions"]
        body: JsonObject = {
            "input_type": "search_document",
            **given,
            "model": model,
            "texts": list(texts),
            "embedding_types": ["float"],
        }
        answer = await self._wire.ask(_url(connection, "embed"), body, headers=headers, connection=connection, secret=secret)
        rows = cast("list[Json]", child(answer, "embeddings").get("float") or [])
        return EmbedResponse(vectors=read_vectors(rows, self.name, connection), usage=_billed(answer), model=model)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _billed(answer: JsonObject) -> Usage:
    """The tokens that are billed; ordering documents is billed by the search, not by the token."""
    return Usage(input_tokens=count(child(child(answer, "meta"), "billed_units"), "input_tokens"))


def _url(connection: Connection, path: str) -> str:
    """The address below the base URL, which people write with and without the version."""
    base = (connection.base_url or _BASE_URL).rstrip("/").removesuffix("/v2").removesuffix("/v1")
    return f"{base}/v2/{path}"
