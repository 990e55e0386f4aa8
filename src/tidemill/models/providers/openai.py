"""OpenAI's chat completions and embeddings, and everything that speaks the same dialect at another URL.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import array
import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, EmbedResponse, Secret, Usage, Vectors
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.models.connections import read_headers, read_secret
from tidemill.models.providers.openai_answers import StreamReader, read_answer, read_error
from tidemill.models.providers.openai_requests import write_request
from tidemill.models.reading import child, children, count, text
from tidemill.models.wire import Wire

_BASE_URL = "https://api.openai.com/v1"
_KEY = Secret(reference="env:OPENAI_API_KEY")


class _Client:
    """Where to send, and as whom."""

    name = "openai"

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def _ask(self, path: str, body: JsonObject, connection: Connection) -> JsonObject:
        headers, secret = _credentials(connection)
        answer = await self._wire.ask(_url(connection, path), body, headers=headers, connection=connection, secret=secret)
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

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        body = write_request(request, official=connection.base_url is None)
        return read_answer(await self._ask("/chat/completions", body, connection), connection)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive, and one more at the end with the finish reason and the usage."""
        body = write_request(request, official=connection.base_url is None)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        headers, secret = _credentials(connection)
        url = _url(connection, "/chat/completions")
        reader = StreamReader(connection)
        async with aclosing(self._wire.events(url, body, headers=headers, connection=connection, secret=secret)) as events:
            async for event in events:
                if event.data.strip() == "[DONE]":
                    break
                for delta in reader.read(event.data):
                    yield delta
        yield reader.ending()


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


def _credentials(connection: Connection) -> tuple[dict[str, str], str | None]:
    """The headers that say who asks, and the secret among them."""
    headers = read_headers(connection)
    key = connection.api_key or (_KEY if connection.base_url is None else None)
    if key is None:
        return headers, None
    secret = read_secret(key, connection)
    return {"authorization": f"Bearer {secret}", **headers}, secret


def _url(connection: Connection, path: str) -> str:
    return (connection.base_url or _BASE_URL).rstrip("/") + path


def _where(connection: Connection) -> str:
    return f"connection/{connection.name}"
