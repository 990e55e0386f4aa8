"""A text model of one's own on Amazon SageMaker, served by Hugging Face's containers.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Text
from tidemill.models.http_chat import as_json
from tidemill.models.params import mapped, stops
from tidemill.models.providers.aws_keys import OPTIONS, authorised, region_of
from tidemill.models.reading import text
from tidemill.models.wire import Wire

_PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens", "stop": "stop", "seed": "seed",
}  # fmt: skip


class SageMakerChat:
    """`POST /endpoints/ENDPOINT/invocations`. The model's name is that of the endpoint; its text is continued."""

    name = "sagemaker"
    connection_options = OPTIONS

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._wire = Wire(self.name)
        self._clock = clock or SystemClock()

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        body = write_request(request)
        base = connection.base_url or f"https://runtime.sagemaker.{region_of(connection)}.amazonaws.com"
        url = f"{base.rstrip('/')}/endpoints/{quote(request.model, safe='.-_')}/invocations"
        content = as_json(body)
        headers, secret = authorised(url, content, {}, connection, service="sagemaker", clock=self._clock)
        answer = await self._wire.ask_any(url, content, headers=headers, connection=connection, secret=secret)
        return _read(answer, str(body["inputs"]), connection)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """The whole answer, as one piece."""
        answer = await self.chat(request, connection=connection)
        yield ChatDelta(text=answer.message.text)
        yield ChatDelta(finish_reason=answer.finish_reason, usage=answer.usage)

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()


def write_request(request: ChatRequest) -> dict[str, Json]:
    """A text, which the model continues, and its parameters."""
    if request.tools or request.output_schema is not None:
        hint = "Ask without them, or serve the model with an OpenAI dialect."
        raise Invalid("a model that continues a text takes no tools and no schema", where="tools", hint=hint, kind="invalid")
    params = mapped(request.params, _PARAMS, provider="sagemaker")
    if "stop" in params:
        params["stop"] = stops(params["stop"])
    body: dict[str, Json] = {"inputs": "\n\n".join(each.text for each in request.messages)}
    return {**body, "parameters": params} if params else body


def _read(answer: Json, asked: str, connection: Connection) -> ChatResponse:
    """The text that was made; some containers repeat what they were asked before it."""
    first = answer[0] if isinstance(answer, Sequence) and not isinstance(answer, str) and answer else answer
    if not isinstance(first, Mapping) or "generated_text" not in first:
        where = f"connection/{connection.name}"
        raise Unavailable("sagemaker answered without generated_text", where=where, kind="server")
    found: JsonObject = first
    said = text(found, "generated_text").removeprefix(asked)
    return ChatResponse(message=Message(role="assistant", parts=(Text(text=said),)))
