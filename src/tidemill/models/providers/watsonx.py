"""Models on IBM watsonx.ai: chat in a variant of OpenAI's dialect, and the generation of text that came before it.

https://cloud.ibm.com/apidocs/watsonx-ai
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, FinishReason, Usage
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Denied, Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Text
from tidemill.models.connections import read_headers, read_secret
from tidemill.models.credentials import Key
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import Asked, EventFramer, HttpChat, StreamedAnswer, as_json, unit_object
from tidemill.models.params import mapped, stops
from tidemill.models.providers import openai_answers
from tidemill.models.providers.openai_requests import write_request
from tidemill.models.reading import children, count, number, text
from tidemill.models.refusals import refusal

_KEY: Final = Key(variable="WATSONX_API_KEY")
_ISSUER: Final = "https://iam.cloud.ibm.com/identity/token"
_GRANT: Final = "urn:ibm:params:oauth:grant-type:apikey"
_EARLY: Final = 120.0
_PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens", "stop": "stop_sequences", "seed": "random_seed",
}  # fmt: skip
_FINISH: Final[Mapping[str, FinishReason]] = {
    "eos_token": "stop", "stop_sequence": "stop", "max_tokens": "length", "token_limit": "length", "time_limit": "length",
    "cancelled": "error", "error": "error",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    value: str
    until: float


class WatsonxChat(HttpChat):
    """`POST /ml/v1/text/chat`, or `/ml/v1/text/generation` with the option `api: generation`."""

    name = "watsonx"
    connection_options: Mapping[str, str] = {
        "project_id": "The project that is billed.",
        "space_id": "The deployment space, instead of a project.",
        "version": "The version of the API as a date: `2024-10-08` unless said otherwise.",
        "region": "The region, as in `us-south` (the default), where base_url is not written.",
        "api": "`chat` (the default), or `generation` for models that only continue a text.",
        "path": "The path of the API: `/ml/v1/text` unless said otherwise.",
        "token_url": "Where a key is exchanged for a token, where that is not IBM Cloud.",
    }

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._tokens: dict[str, _Token] = {}

    async def ask(self, request: ChatRequest, connection: Connection, *, stream: bool) -> Asked:
        """The request in watsonx's words."""
        token = await self._token(connection)
        options = connection.options
        where: JsonObject = {name: options[name] for name in ("project_id", "space_id") if options.get(name)}
        if _generates(connection):
            body, action = write_generation(request), "generation"
        else:
            body, action = write_request(request, official=False), "chat"
            body["model_id"] = body.pop("model")
        if _generates(connection) and options.get("path"):
            action = "text_stream" if stream else "text"
        elif stream:
            action += "_stream"
        url = f"{_base(connection)}/{action}?version={options.get('version') or '2024-10-08'}"
        headers = {"authorization": f"Bearer {token}", **read_headers(connection)}
        return Asked(url=url, content=as_json({**body, **where}), headers=headers, secret=token)

    def read_answer(self, answer: JsonObject, connection: Connection) -> ChatResponse:
        """A whole answer, of either kind."""
        if "results" in answer:
            return _read_generation(answer, connection)
        return openai_answers.read_answer(answer, connection)

    def streamed(self, connection: Connection, model: str) -> StreamedAnswer[ServerEvent]:  # noqa: ARG002  (all read alike)
        """What reads one stream."""
        made = GenerationReader(connection) if _generates(connection) else openai_answers.StreamReader(connection)
        return StreamedAnswer(EventFramer(), made)

    async def _token(self, connection: Connection) -> str:
        """A token for the key; what is a token already is taken as it is. It is asked for again two minutes before its end."""
        if connection.api_key is None:
            _, secret = _KEY.read(connection)
        else:
            secret = read_secret(connection.api_key, connection)
        if not secret:
            hint = "Write api_key: env:WATSONX_API_KEY."
            raise Denied("there is no key of watsonx", where=f"connection/{connection.name}", hint=hint, kind="auth")
        if secret.startswith("ey"):
            return secret
        now = self._clock.now_ns() / 1e9
        found = self._tokens.get(secret)
        if found is None or found.until - _EARLY < now:
            form = urlencode({"grant_type": _GRANT, "apikey": secret}).encode()
            headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
            url = connection.options.get("token_url") or _ISSUER
            answer = await self._wire.ask(url, form, headers=headers, connection=connection, secret=secret)
            found = _Token(value=text(answer, "access_token"), until=now + (number(answer, "expires_in") or 3600))
            self._tokens[secret] = found
        return found.value


def write_generation(request: ChatRequest) -> dict[str, Json]:
    """The body of a generation: one text, which the model continues."""
    if request.tools or request.output_schema is not None:
        hint = "Leave api: generation out of the connection's options."
        raise Invalid("a model that continues a text takes no tools and no schema", where="tools", hint=hint, kind="invalid")
    params = mapped(request.params, _PARAMS, provider="watsonx")
    if "stop_sequences" in params:
        params["stop_sequences"] = stops(params["stop_sequences"])
    if "temperature" in params or "top_p" in params:
        params.setdefault("decoding_method", "sample")
    body: dict[str, Json] = {"model_id": request.model, "input": "\n\n".join(each.text for each in request.messages)}
    return {**body, "parameters": params} if params else body


class GenerationReader:
    """Reads the events of a generation. There is no end mark but the reason why it stopped."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason | None = None
        self._read = 0
        self._written = 0

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """The pieces of one event."""
        event = unit_object(unit.data, early=self._early())
        if event.get("errors"):
            raise refusal(500, unit.data, provider="watsonx", connection=self._connection.name)
        for result in children(event, "results"):
            self._read = max(self._read, count(result, "input_token_count"))
            self._written = max(self._written, count(result, "generated_token_count"))
            reason = text(result, "stop_reason")
            if reason and reason != "not_finished":
                self._finish = _FINISH.get(reason.lower(), "stop")
            yield ChatDelta(text=text(result, "generated_text"), model=text(event, "model_id") or None)

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece. Raises `Unavailable` when the stream stopped before the model did."""
        if self._finish is None:
            raise self._early()
        usage = Usage(input_tokens=self._read, output_tokens=self._written)
        yield ChatDelta(finish_reason=self._finish, usage=usage)

    def _early(self) -> Unavailable:
        return Unavailable("watsonx: the stream ended early", where=f"connection/{self._connection.name}", kind="connection")


def _read_generation(answer: JsonObject, connection: Connection) -> ChatResponse:
    results = children(answer, "results")
    if not results:
        raise Unavailable("watsonx answered without a result", where=f"connection/{connection.name}", kind="server")
    said = "".join(text(each, "generated_text") for each in results)
    return ChatResponse(
        message=Message(role="assistant", parts=(Text(text=said),)),
        finish_reason=_FINISH.get(text(results[-1], "stop_reason").lower(), "stop"),
        usage=Usage(
            input_tokens=sum(count(each, "input_token_count") for each in results),
            output_tokens=sum(count(each, "generated_token_count") for each in results),
        ),
        model=text(answer, "model_id"),
    )


def _generates(connection: Connection) -> bool:
    return connection.options.get("api") == "generation"


def _base(connection: Connection) -> str:
    region = connection.options.get("region") or "us-south"
    base = (connection.base_url or f"https://{region}.ml.cloud.ibm.com").rstrip("/")
    return base + (connection.options.get("path") or "/ml/v1/text")
