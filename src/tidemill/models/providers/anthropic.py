"""Anthropic's messages, natively.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.chat import ChatRequest, ChatResponse, Connection, Dialect
from tidemill.core.extend import RawAnswer
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.models.credentials import Key
from tidemill.models.events import ServerEvent
from tidemill.models.forwarding import forward_stream, forward_whole
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json
from tidemill.models.params import mapped, stops
from tidemill.models.providers.anthropic_answers import MessageReader, read_answer, read_error
from tidemill.models.providers.anthropic_hints import with_marks
from tidemill.models.providers.anthropic_requests import PARAMS, betas_of, write_request
from tidemill.models.reading import child

_BASE_URL: Final = "https://api.anthropic.com"
_KEY: Final = Key(variable="ANTHROPIC_API_KEY", header="x-api-key", word="")
_VERSION: Final = "2023-06-01"
_PATHS: Final[Mapping[str, str]] = {
    "anthropic.messages": "messages", "anthropic.count_tokens": "messages/count_tokens",
}  # fmt: skip
_OF_REQUESTS: Final = frozenset({"effort", "parallel", "user"})


class AnthropicChat(HttpChat):
    """`POST /v1/messages`. Without `base_url` it is Anthropic's own, and the key is that of `ANTHROPIC_API_KEY`."""

    name = "anthropic"
    dialects: frozenset[Dialect] = frozenset({"anthropic.messages", "anthropic.count_tokens"})
    writes: Dialect = "anthropic.messages"

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in Anthropic's words."""
        headers, secret = _headers(connection, {"anthropic-beta": betas_of(request)})
        body: JsonObject = write_request(request)
        if child(request.params, "provider_options").get("prompt_cache") is not False:
            body = with_marks(body)
        if stream:
            body = {**body, "stream": True}
        return Asked(url=_url(connection, "messages"), content=as_json(body), headers=headers, secret=secret)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole message."""
        return read_answer(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[ServerEvent]:  # noqa: ARG002  (all read alike)
        """What reads one stream."""
        return StreamedAnswer(EventFramer(), MessageReader(connection))

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:  # noqa: ARG002
        """A model's own parameters in Anthropic's words; counting tokens takes none of them."""
        return raw_params(params) if dialect == "anthropic.messages" else {}

    async def forward(
        self,
        dialect: Dialect,
        body: bytes,
        *,
        model: str,
        connection: Connection,
        stream: bool,
        headers: Mapping[str, str],
    ) -> RawAnswer:
        """Send a request of the dialect as it is written."""
        sent, secret = _headers(connection, headers)
        asked = Asked(url=_url(connection, _PATHS[dialect]), content=body, headers=sent, secret=secret)
        if stream:
            return await forward_stream(self._wire, asked, self.streamed(connection, model), connection=connection)

        def read(answer: JsonObject) -> ChatResponse:
            return read_answer(answer, connection) if dialect == "anthropic.messages" else _counted(answer, connection)

        return await forward_whole(self._wire, asked, read, connection=connection)


def raw_params(params: JsonObject) -> JsonObject:
    """Parameters by OpenAI's names as fields of a message's request; what has no field there is left out."""
    found = mapped({**params, "provider_options": {"unsupported": "drop"}}, PARAMS, provider="anthropic")
    written: dict[str, Json] = {name: value for name, value in found.items() if name not in _OF_REQUESTS}
    if "stop_sequences" in written:
        written["stop_sequences"] = stops(written["stop_sequences"])
    return written


def _counted(answer: JsonObject, connection: Connection) -> ChatResponse:
    """Counting uses nothing."""
    if answer.get("type") == "error":
        raise read_error(answer, connection)
    return ChatResponse(message=Message(role="assistant"))


def _headers(connection: Connection, given: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Who asks, for which version, and with which features that are tried out: the connection's and the client's."""
    own, secret = _KEY.read(connection)
    betas = ",".join(each for each in (own.get("anthropic-beta"), given.get("anthropic-beta")) if each)
    tried = {"anthropic-beta": betas} if betas else {}
    return {"anthropic-version": given.get("anthropic-version") or _VERSION, **own, **tried}, secret


def _url(connection: Connection, path: str) -> str:
    """The address below the base URL, which people write with and without `/v1`."""
    return (connection.base_url or _BASE_URL).rstrip("/").removesuffix("/v1") + f"/v1/{path}"
