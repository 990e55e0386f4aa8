"""Anthropic's messages, natively.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Secret
from tidemill.core.json import JsonObject
from tidemill.models.connections import read_headers, read_secret
from tidemill.models.providers.anthropic_answers import StreamReader, read_answer
from tidemill.models.providers.anthropic_requests import write_request
from tidemill.models.wire import Wire

_BASE_URL = "https://api.anthropic.com"
_KEY = Secret(reference="env:ANTHROPIC_API_KEY")
_VERSION = "2023-06-01"


class AnthropicChat:
    """`POST /v1/messages`. Without `base_url` it is Anthropic's own, and the key is that of `ANTHROPIC_API_KEY`."""

    name = "anthropic"

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        headers, secret = _credentials(connection)
        body = write_request(request)
        answer = await self._wire.ask(_url(connection), body, headers=headers, connection=connection, secret=secret)
        return read_answer(answer, connection)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive, and one more at the end with the finish reason and the usage."""
        headers, secret = _credentials(connection)
        body: JsonObject = {**write_request(request), "stream": True}
        reader = StreamReader(connection)
        source = self._wire.events(_url(connection), body, headers=headers, connection=connection, secret=secret)
        async with aclosing(source) as events:
            async for event in events:
                for delta in reader.read(event.data):
                    yield delta
                if reader.ended:
                    break
        yield reader.ending()

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def _credentials(connection: Connection) -> tuple[dict[str, str], str | None]:
    """The headers that say who asks, and the secret among them."""
    headers = {"anthropic-version": _VERSION, **read_headers(connection)}
    key = connection.api_key or (_KEY if connection.base_url is None else None)
    if key is None:
        return headers, None
    secret = read_secret(key, connection)
    return {"x-api-key": secret, **headers}, secret


def _url(connection: Connection) -> str:
    """The address below the base URL, which people write with and without `/v1`."""
    return (connection.base_url or _BASE_URL).rstrip("/").removesuffix("/v1") + "/v1/messages"
