"""Google's Gemini API.

https://ai.google.dev/api
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, EmbedResponse, Usage
from tidemill.core.json import Json, JsonObject
from tidemill.models.credentials import Key
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json
from tidemill.models.providers.gemini_answers import ChunkReader, read_answer
from tidemill.models.providers.gemini_requests import NAME, write_request
from tidemill.models.reading import children
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_BASE_URL: Final = "https://generativelanguage.googleapis.com/v1beta"
_KEY: Final = Key(variable="GEMINI_API_KEY", header="x-goog-api-key", word="")


class GeminiChat(HttpChat):
    """`POST /models/MODEL:generateContent`. Without `base_url` it is Google's own, and the key is that of `GEMINI_API_KEY`."""

    name = "gemini"
    writes = NAME

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in Gemini's words."""
        headers, secret = _KEY.read(connection)
        url = _url(connection, request.model, "streamGenerateContent?alt=sse" if stream else "generateContent")
        return Asked(url=url, content=as_json(write_request(request)), headers=headers, secret=secret)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer."""
        return read_answer(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[ServerEvent]:  # noqa: ARG002  (all read alike)
        """What reads one stream."""
        return StreamedAnswer(EventFramer(), ChunkReader(connection))


class GeminiEmbed:
    """`POST /models/MODEL:batchEmbedContents`."""

    name = "gemini"
    batch_size = 100

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. `params` may have `dimensions`, and what the API calls `taskType` and `title`."""
        headers, secret = _KEY.read(connection)
        given = {name: value for name, value in params.items() if name not in {"dimensions", "provider_options"}}
        if params.get("dimensions") is not None:
            given["outputDimensionality"] = params["dimensions"]
        requests: list[Json] = [{"model": f"models/{model}", "content": {"parts": [{"text": each}]}, **given} for each in texts]
        url = _url(connection, model, "batchEmbedContents")
        answer = await self._wire.ask(url, {"requests": requests}, headers=headers, connection=connection, secret=secret)
        rows = [each.get("values") for each in children(answer, "embeddings")]
        return EmbedResponse(vectors=read_vectors(rows, self.name, connection), usage=Usage(), model=model)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _url(connection: Connection, model: str, action: str) -> str:
    base = (connection.base_url or _BASE_URL).rstrip("/")
    return f"{base}/models/{quote(model.removeprefix('models/'), safe='.-_/')}:{action}"
