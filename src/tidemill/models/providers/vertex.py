"""Models on Google Cloud: Gemini, and Anthropic's where the model's name begins with `claude`.

https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, EmbedResponse, Usage
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.connections import read_headers
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json
from tidemill.models.providers import anthropic_answers, gemini_answers
from tidemill.models.providers.anthropic_requests import write_request as write_messages
from tidemill.models.providers.gemini_requests import NAME, write_request
from tidemill.models.providers.google_tokens import GoogleTokens, project_of
from tidemill.models.reading import child, children, count
from tidemill.models.vectors import read_vectors
from tidemill.models.wire import Wire

_OPTIONS: Final[Mapping[str, str]] = {
    "project": "The project in Google Cloud; else GOOGLE_CLOUD_PROJECT, else that of the service account.",
    "location": "The region, or `global` (the default); else GOOGLE_CLOUD_LOCATION.",
}
_ANTHROPIC: Final = "vertex-2023-10-16"


class VertexChat(HttpChat):
    """`POST …/publishers/google/models/MODEL:generateContent`, or Anthropic's `:rawPredict`.

    `base_url` is that of a region, as in `https://us-central1-aiplatform.googleapis.com/v1`; without it, it follows from the
    location.
    """

    name = "vertex"
    writes = NAME
    connection_options = _OPTIONS

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self._tokens = GoogleTokens(self._wire, clock=clock or SystemClock())

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in the words of whoever made the model."""
        token = await self._tokens.read(connection)
        headers = {"authorization": f"Bearer {token}", **read_headers(connection)}
        if is_claude(request.model):
            body: dict[str, Json] = {**write_messages(request), "anthropic_version": _ANTHROPIC, "stream": stream}
            del body["model"]
            url = _url(connection, "anthropic", request.model, "streamRawPredict" if stream else "rawPredict")
        else:
            body = write_request(request)
            action = "streamGenerateContent?alt=sse" if stream else "generateContent"
            url = _url(connection, "google", request.model, action)
        return Asked(url=url, content=as_json(body), headers=headers, secret=token)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer; those of Anthropic's models have a `content`."""
        if "content" in answer or answer.get("type") == "error":
            return anthropic_answers.read_answer(answer, connection)
        return gemini_answers.read_answer(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[ServerEvent]:
        """What reads one stream of a model."""
        if is_claude(model):
            return StreamedAnswer(EventFramer(), anthropic_answers.MessageReader(connection))
        return StreamedAnswer(EventFramer(), gemini_answers.ChunkReader(connection))


class VertexEmbed:
    """`POST …/publishers/google/models/MODEL:predict`."""

    name = "vertex"
    connection_options = _OPTIONS
    batch_size = 5
    """The least that any of its embedding models takes at once, but for the one that takes a single text."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._wire = Wire(self.name)
        self._tokens = GoogleTokens(self._wire, clock=clock or SystemClock())

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order. `params` may have `dimensions`, and what the API calls `task_type` and `title`."""
        token = await self._tokens.read(connection)
        given = {name: value for name, value in params.items() if name not in {"dimensions", "provider_options"}}
        body: dict[str, Json] = {"instances": [{"content": each, **given} for each in texts]}
        if params.get("dimensions") is not None:
            body["parameters"] = {"outputDimensionality": params["dimensions"]}
        headers = {"authorization": f"Bearer {token}", **read_headers(connection)}
        url = _url(connection, "google", model, "predict")
        answer = await self._wire.ask(url, body, headers=headers, connection=connection, secret=token)
        found = [child(each, "embeddings") for each in children(answer, "predictions")]
        tokens = sum(count(child(each, "statistics"), "token_count") for each in found)
        vectors = read_vectors([each.get("values") for each in found], self.name, connection)
        return EmbedResponse(vectors=vectors, usage=Usage(input_tokens=tokens), model=model)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def is_claude(model: str) -> bool:
    """Whether a model is Anthropic's."""
    return model.startswith("claude")


def _url(connection: Connection, publisher: str, model: str, action: str) -> str:
    options = connection.options
    location = options.get("location") or os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"
    project = options.get("project") or os.environ.get("GOOGLE_CLOUD_PROJECT") or project_of(connection)
    if not project:
        hint = "Write options: {project: NAME} in the connection, or set GOOGLE_CLOUD_PROJECT."
        raise Invalid("no project of Google Cloud is named", where=f"connection/{connection.name}", hint=hint, kind="invalid")
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    base = (connection.base_url or f"https://{host}/v1").rstrip("/")
    name = quote(model, safe=".-_@")
    return f"{base}/projects/{project}/locations/{location}/publishers/{publisher}/models/{name}:{action}"
