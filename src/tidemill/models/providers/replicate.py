"""Replicate's predictions: asked for, then waited for, or streamed.

https://replicate.com/docs/reference/http
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

import anyio
from yarl import URL

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, FinishReason, Usage
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Image, Media, Message, Refusal, Text
from tidemill.models.credentials import Key
from tidemill.models.events import EventReader
from tidemill.models.params import mapped, stops
from tidemill.models.reading import as_text, child, count, text
from tidemill.models.refusals import refusal
from tidemill.models.wire import Wire

PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens", "stop": "stop_sequences", "seed": "seed",
    "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty", "reasoning_effort": "reasoning_effort",
}  # fmt: skip
_BASE_URL: Final = "https://api.replicate.com/v1"
_KEY: Final = Key(variable="REPLICATE_API_TOKEN")
_GOING: Final = frozenset({"starting", "processing", "queued"})
_VERSION: Final = 64
_WAITS: Final = (0.2, 0.5, 1.0, 2.0)


class ReplicateChat:
    """`POST /models/OWNER/NAME/predictions`, or `/predictions` where the model is a version's id of 64 digits.

    Without `base_url` it is Replicate's own, and the key is that of `REPLICATE_API_TOKEN`. `timeout` is for the whole wait.
    """

    name = "replicate"

    def __init__(self) -> None:
        self._wire = Wire(self.name)

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask, then look again until there is an answer."""
        made = await self._begin(request, connection, stream=False)
        try:
            with anyio.fail_after(connection.timeout):
                made = await self._finished(made, connection)
        except TimeoutError as error:
            said = f"replicate had no answer after {connection.timeout:g} s"
            hint = f"Raise timeout of connection/{connection.name}: models that sleep take minutes to wake."
            raise Unavailable(said, where=f"connection/{connection.name}", hint=hint, kind="timeout") from error
        return ChatResponse(
            message=Message(role="assistant", parts=(Text(text=_said(made.get("output"))),)),
            usage=_usage(made),
            model=text(made, "model"),
        )

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Ask, then read the pieces where Replicate says that they are."""
        made = await self._begin(request, connection, stream=True)
        url = _address(made, "stream", connection)
        if not url:  # the model does not stream: what it says comes at once
            answer = await self.chat(request, connection=connection)
            yield ChatDelta(text=answer.message.text, model=answer.model or None)
            yield ChatDelta(finish_reason=answer.finish_reason, usage=answer.usage)
            return
        headers, secret = _KEY.read(connection)
        headers |= {"accept": "text/event-stream", "cache-control": "no-store"}
        finish: FinishReason | None = None
        reader = EventReader()
        source = self._wire.pieces(url, None, headers=headers, connection=connection, secret=secret)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                for event in reader.feed(piece):
                    if event.name == "output":
                        yield ChatDelta(text=event.data, model=text(made, "model") or None)
                    elif event.name == "error":
                        raise refusal(500, event.data, provider=self.name, connection=connection.name)
                    elif event.name == "done":
                        finish = "stop"
                if finish:
                    break
        if finish is None:
            raise _early(connection)
        yield ChatDelta(finish_reason=finish, usage=_usage(await self._look(made, connection)))

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def _begin(self, request: ChatRequest, connection: Connection, *, stream: bool) -> JsonObject:
        headers, secret = _KEY.read(connection)
        body: dict[str, Json] = {"input": write_input(request)}
        base = (connection.base_url or _BASE_URL).rstrip("/")
        model = request.model.rpartition(":")[2]
        if len(model) == _VERSION and "/" not in model:
            body["version"], url = model, f"{base}/predictions"
        else:
            url = f"{base}/models/{quote(request.model, safe='/.-_')}/predictions"
        if stream:
            body["stream"] = True
        return await self._wire.ask(url, body, headers=headers, connection=connection, secret=secret)

    async def _finished(self, made: JsonObject, connection: Connection) -> JsonObject:
        looked = 0
        while text(made, "status") in _GOING:
            await anyio.sleep(_WAITS[min(looked, len(_WAITS) - 1)])
            looked += 1
            made = await self._look(made, connection)
        if made.get("error") or text(made, "status") != "succeeded":
            raise _failed(made, connection)
        return made

    async def _look(self, made: JsonObject, connection: Connection) -> JsonObject:
        url = _address(made, "get", connection)
        if not url:
            raise Unavailable("replicate did not say where its answer is", where=f"connection/{connection.name}", kind="server")
        headers, secret = _KEY.read(connection)
        found = await self._wire.ask_any(url, None, headers=headers, connection=connection, secret=secret)
        return found if isinstance(found, Mapping) else {}


def write_input(request: ChatRequest) -> dict[str, Json]:
    """The `input` of a language model there: one prompt, and what the system says apart. A conversation is written out."""
    if request.tools:
        hint = "Ask without tools, or use another provider."
        raise Invalid("replicate has no tools", where="tools", hint=hint, kind="invalid")
    if request.output_schema is not None:
        hint = "Say in the prompt what the answer should look like."
        raise Invalid("replicate has no schema for answers", where="response_format", hint=hint, kind="invalid")
    params = mapped(request.params, PARAMS, provider="replicate")
    if "stop_sequences" in params:
        params["stop_sequences"] = ",".join(str(each) for each in stops(params["stop_sequences"]))
    system = "\n\n".join(each.text for each in request.messages if each.role == "system")
    turns = [each for each in request.messages if each.role != "system"]
    written: dict[str, Json] = {**params, "prompt": _prompt(turns)}
    if system:
        written["system_prompt"] = system
    if pictures := [_picture(part) for each in turns for part in each.parts if isinstance(part, Media)]:
        written["image_input"] = pictures
    return written


def _prompt(turns: Sequence[Message]) -> str:
    if len(turns) == 1:
        return turns[0].text
    names = {"assistant": "Assistant", "user": "User", "tool": "Tool"}
    lines = [f"{names[each.role]}: {_words(each)}" for each in turns]
    return "\n\n".join([*lines, "Assistant:"])


def _words(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text | Refusal))


def _picture(part: Media) -> str:
    if not isinstance(part, Image):
        raise Invalid(f"replicate takes no {part.type} here", hint="Send text and images only.", kind="invalid")
    return part.url or f"data:{part.media_type};base64,{part.data}"


def _address(made: JsonObject, name: str, connection: Connection) -> str:
    """Where Replicate says that something is. The key goes there, so it must be Replicate's own host, or the connection's."""
    url = text(child(made, "urls"), name)
    if not url:
        return url
    where = f"connection/{connection.name}"
    try:
        found, own = URL(url), URL(connection.base_url or _BASE_URL)
        host = found.host or ""
        is_own = found.origin() == own.origin()
    except ValueError as error:
        raise Unavailable(f"replicate pointed to {url[:100]!r}, which is no address", where=where, kind="server") from error
    if not (is_own or (found.scheme == "https" and host.endswith(".replicate.com"))):
        raise Unavailable(f"replicate pointed to {found.scheme}://{host}", where=where, kind="server")
    return url


def _said(output: Json) -> str:
    if isinstance(output, list | tuple):
        return "".join(_said(each) for each in output)
    return as_text(output)


def _usage(made: JsonObject) -> Usage:
    metrics = child(made, "metrics")
    return Usage(input_tokens=count(metrics, "input_token_count"), output_tokens=count(metrics, "output_token_count"))


def _failed(made: JsonObject, connection: Connection) -> TidemillError:
    said = as_text(made.get("error")) or f"the prediction is {text(made, 'status') or 'gone'}"
    return refusal(500, said, provider="replicate", connection=connection.name)


def _early(connection: Connection) -> Unavailable:
    return Unavailable("replicate: the stream ended early", where=f"connection/{connection.name}", kind="connection")
