"""Voyage: vectors, and the order of documents.

https://docs.voyageai.com/reference
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, cast

import orjson

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse, Usage
from tidemill.core.errors import Invalid
from tidemill.core.extend import RawAnswer
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.models.credentials import Key
from tidemill.models.forwarding import whole
from tidemill.models.reading import child, children, count, number, text
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_BASE_URL: Final = "https://api.voyageai.com/v1"
_KEY: Final = Key(variable="VOYAGE_API_KEY")


class VoyageRerank:
    """`POST /rerank`, asked and answered in the form that Cohere gave it. There is no chat."""

    name = "voyage"
    dialects: frozenset[Dialect] = frozenset({"cohere.rerank"})

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Raise `Invalid`."""
        raise _no_chat(request, connection)

    def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncIterator[ChatDelta]:
        """Raise `Invalid`."""
        raise _no_chat(request, connection)

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
        """Ask in Voyage's words, and answer in Cohere's."""
        asked = cast("JsonObject", orjson.loads(body))
        own, secret = _KEY.read(connection)
        url = f"{(connection.base_url or _BASE_URL).rstrip('/')}/rerank"
        answer = await self._wire.ask(url, write_rerank(asked, model), headers=own, connection=connection, secret=secret)
        tokens = count(child(answer, "usage"), "total_tokens")
        response = ChatResponse(message=Message(role="assistant"), usage=Usage(input_tokens=tokens), model=model)
        return whole(orjson.dumps(read_rerank(answer, asked)), response, connection=connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


class VoyageEmbed:
    """`POST /embeddings`."""

    name = "voyage"

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. `params` may have `dimensions`, `input_type` (`query` or `document`), `truncation`."""
        headers, secret = _KEY.read(connection)
        given = {name: value for name, value in params.items() if name not in {"dimensions", "provider_options"}}
        if params.get("dimensions") is not None:
            given["output_dimension"] = params["dimensions"]
        body: JsonObject = {**given, "model": model, "input": list(texts), "encoding_format": "base64"}
        url = f"{(connection.base_url or _BASE_URL).rstrip('/')}/embeddings"
        answer = await self._wire.ask(url, body, headers=headers, connection=connection, secret=secret)
        rows = sorted(children(answer, "data"), key=lambda row: count(row, "index"))
        usage = Usage(input_tokens=count(child(answer, "usage"), "total_tokens"))
        vectors = read_vectors([row.get("embedding") for row in rows], self.name, connection)
        return EmbedResponse(vectors=vectors, usage=usage, model=text(answer, "model"))

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def write_rerank(asked: JsonObject, model: str) -> dict[str, Json]:
    """A request in Cohere's form in Voyage's words."""
    documents = asked.get("documents")
    given = list(documents) if isinstance(documents, list | tuple) else []
    body: dict[str, Json] = {
        "model": model,
        "query": asked.get("query"),
        "documents": [each.get("text") if isinstance(each, Mapping) else each for each in given],
        "truncation": asked.get("truncation", True),
    }
    most = asked.get("top_n") or asked.get("top_k")
    return {**body, "top_k": most} if most else body


def read_rerank(answer: JsonObject, asked: JsonObject) -> JsonObject:
    """An answer of Voyage's in Cohere's form."""
    documents = asked.get("documents") if asked.get("return_documents") else None
    results: list[Json] = []
    for each in children(answer, "data"):
        index = count(each, "index")
        result: dict[str, Json] = {"index": index, "relevance_score": number(each, "relevance_score")}
        if isinstance(documents, list | tuple) and index < len(documents):
            document = documents[index]
            result["document"] = document if isinstance(document, Mapping) else {"text": document}
        results.append(result)
    tokens = count(child(answer, "usage"), "total_tokens")
    return {"results": results, "model": text(answer, "model"), "meta": {"tokens": {"input_tokens": tokens}}}


def _no_chat(request: ChatRequest, connection: Connection) -> Invalid:
    hint = "Name it in /v1/rerank, or write kind: embedder."
    return Invalid(f"{request.model} of voyage does not chat", where=f"connection/{connection.name}", hint=hint, kind="invalid")
