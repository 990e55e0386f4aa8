"""Calling models. Whoever needs an answer or a vector comes here, so that retries, limits and spans cannot be gone around."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, EmbedResponse, Rendered
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.core.extend import ChatProvider, EmbedProvider, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.core.records import Version
from tidemill.models import annotate
from tidemill.models.assemble import Assembly
from tidemill.models.batches import embed_in_batches
from tidemill.models.media import ReadBlob, inline_media
from tidemill.models.retry import RetryBudget, RetryPolicy, retrying
from tidemill.models.stream import ChatResult, ChatStream
from tidemill.pricing.prices import cost_of
from tidemill.telemetry import Span

ConnectionFor: TypeAlias = Callable[[str, str, str], Awaitable[Connection | None]]
"""(project, name, environment) to the connection of that name there."""

PathOf: TypeAlias = Callable[[str, str], Path]
"""(project, digest) to the file that holds the blob."""

P = TypeVar("P", ChatProvider, EmbedProvider)


@runtime_checkable
class _Renders(ChatProvider, Protocol):
    """A provider whose engine runs here and shows what it reads."""

    async def render(self, request: ChatRequest, *, connection: Connection) -> Rendered: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """A chat call, ready to be made."""

    provider: ChatProvider
    request: ChatRequest
    connection: Connection
    budget: RetryBudget


class Models:
    """Every chat model and embedder. Belongs to one event loop; `close` it there.

    `read_blob(project, digest)` fetches the content of message parts that are held by digest; `path_of(project, digest)` says
    where a model's own file is.
    """

    def __init__(
        self,
        *,
        connection_for: ConnectionFor,
        clock: Clock | None = None,
        retry: RetryPolicy | None = None,
        read_blob: ReadBlob | None = None,
        path_of: PathOf | None = None,
    ) -> None:
        self._connection_for = connection_for
        self._clock = clock or SystemClock()
        self._retry = retry or RetryPolicy()
        self._read_blob = read_blob
        self._path_of = path_of
        self._chat_providers: dict[str, ChatProvider] = {}
        self._embed_providers: dict[str, EmbedProvider] = {}
        self._budgets: dict[tuple[str, str], RetryBudget] = {}

    async def chat(self, model: Version, request: ChatRequest, *, project: str, environment: str, span: Span) -> ChatResult:
        """Ask and wait for the whole answer. `request.model` is not read; `request.params` win over the model's own.

        Raises `Unavailable`, `RateLimited`, `Denied`, `Invalid` or `MissingExtra`. Cancelling it closes the connection.
        """
        started = self._clock.monotonic()
        call = await self._prepare(model, request, project=project, environment=environment, span=span)

        async def ask() -> ChatResponse:
            return await call.provider.chat(call.request, connection=call.connection)

        response, attempts = await retrying(ask, policy=self._retry, budget=call.budget, clock=self._clock)
        result = self._result(call, response, attempts=attempts, started=started, first_token=None)
        annotate.note_result(span, result)
        return result

    def stream(self, model: Version, request: ChatRequest, *, project: str, environment: str, span: Span) -> ChatStream:
        """Ask and yield the answer as it arrives; see `ChatStream`. Tries again only before the first piece came."""

        def deltas(finish: Callable[[ChatResult], None]) -> AsyncGenerator[ChatDelta]:
            return self._deltas(model, request, project=project, environment=environment, span=span, finish=finish)

        return ChatStream(deltas)

    async def embed(
        self, embedder: Version, texts: Sequence[str], *, project: str, environment: str, span: Span | None = None
    ) -> EmbedResponse:
        """Embed every text, in order and in batches; each batch is tried again by itself."""
        provider = _provider("embed_providers", embedder, self._embed_providers)
        connection = await self._connection(provider, embedder, project=project, environment=environment)
        name = _model_name(embedder)
        params: dict[str, Json] = dict(cast("JsonObject", embedder.spec.get("params") or {}))
        if embedder.spec.get("dimensions") is not None:
            params["dimensions"] = embedder.spec["dimensions"]
        if "file" in embedder.spec:
            params["provider_options"] = self._options(embedder, project=project)
        if span is not None:
            annotate.note_request(span, operation="embeddings", model=name, connection=connection, environment=environment)

        async def embed_batch(batch: Sequence[str]) -> EmbedResponse:
            async def ask() -> EmbedResponse:
                return await provider.embed(batch, model=name, params=params, connection=connection)

            budget = self._budget(project, provider, connection)
            return (await retrying(ask, policy=self._retry, budget=budget, clock=self._clock))[0]

        response = await embed_in_batches(texts, embed_batch, provider=provider)
        if span is not None:
            cost = cost_of(connection.provider, response.model or name, response.usage)
            annotate.note_embedding(span, response, cost=cost)
        return response

    async def tokenize(self, model: Version, text: str, *, project: str, environment: str) -> Sequence[int]:
        """The ids of a text's tokens as the model has them. Raises `Invalid` for a model that does not run here."""
        provider = _provider("chat_providers", model, self._chat_providers)
        tokenize = getattr(provider, "tokenize", None)
        if tokenize is None:
            raise Invalid(f"{model.ref} does not say how it cuts a text into tokens", hint="Use a model of provider: local.")
        connection = await self._connection(provider, model, project=project, environment=environment)
        params: dict[str, Json] = {}
        if "file" in model.spec:
            params["provider_options"] = {"file": model.spec["file"], "path": self._file_of(model, project=project)}
        request = ChatRequest(model=_model_name(model), messages=(), params=params)
        return cast("Sequence[int]", await tokenize(text, request=request, connection=connection))

    async def render(self, model: Version, messages: tuple[Message, ...], *, project: str, environment: str) -> Rendered:
        """The one text that a model which runs here reads for these messages. Raises `Invalid` for a model elsewhere."""
        provider = _provider("chat_providers", model, self._chat_providers)
        if not isinstance(provider, _Renders):
            raise Invalid(f"{model.ref} runs elsewhere: what it reads is not known", hint="Name a model of provider: local.")
        connection = await self._connection(provider, model, project=project, environment=environment)
        options = self._options(model, project=project)
        params: JsonObject = {"provider_options": options} if options else {}
        request = ChatRequest(model=_model_name(model), messages=messages, params=params)
        return await provider.render(request, connection=connection)

    def file_of(self, model: Version, *, project: str) -> Path:
        """The file of a model that runs here. Raises `Invalid` for a model elsewhere, and `MissingExtra`."""
        if "file" in model.spec:
            return Path(self._file_of(model, project=project))
        find = getattr(_provider("chat_providers", model, self._chat_providers), "model_file", None)
        path = None if find is None else cast("Path | None", find(str(model.spec.get("model"))))
        if path is None:
            raise Invalid(f"{model.ref} has no file here: it runs elsewhere", hint="Name a model of provider: local.")
        return path

    async def close(self) -> None:
        """Release every connection and child process."""
        providers = (*self._chat_providers.values(), *self._embed_providers.values())
        self._chat_providers.clear()
        self._embed_providers.clear()
        for provider in providers:
            await provider.close()

    async def _deltas(
        self,
        model: Version,
        request: ChatRequest,
        *,
        project: str,
        environment: str,
        span: Span,
        finish: Callable[[ChatResult], None],
    ) -> AsyncGenerator[ChatDelta]:
        started = self._clock.monotonic()
        call = await self._prepare(model, request, project=project, environment=environment, span=span)
        opening = retrying(lambda: _open(call), policy=self._retry, budget=call.budget, clock=self._clock)
        (source, beginning), attempts = await opening
        first_token = self._clock.monotonic()
        assembly = Assembly()
        try:
            for delta in beginning:
                assembly.add(delta)
                if _shows(delta):
                    yield delta
            async for delta in source:
                assembly.add(delta)
                if _shows(delta):
                    yield delta
        except BaseException:
            annotate.note_response(span, assembly.response())
            raise
        finally:
            await _close(source)
        if assembly.finish_reason is None:
            annotate.note_response(span, assembly.response())
            raise Unavailable(f"{call.connection.provider}: the stream ended early", where=f"connection/{call.connection.name}")
        result = self._result(call, assembly.response(), attempts=attempts, started=started, first_token=first_token)
        annotate.note_result(span, result)
        finish(result)

    async def _prepare(self, model: Version, request: ChatRequest, *, project: str, environment: str, span: Span) -> _Call:
        provider = _provider("chat_providers", model, self._chat_providers)
        connection = await self._connection(provider, model, project=project, environment=environment)
        params = {**cast("JsonObject", model.spec.get("params") or {}), **request.params}
        if options := self._options(model, project=project):
            params["provider_options"] = options
        messages = await inline_media(request.messages, project=project, read_blob=self._read_blob)
        request = replace(request, model=_model_name(model), messages=messages, params=params)
        annotate.note_request(span, operation="chat", model=request.model, connection=connection, environment=environment)
        annotate.note_parameters(span, request)
        return _Call(
            provider=provider, request=request, connection=connection, budget=self._budget(project, provider, connection)
        )

    def _options(self, model: Version, *, project: str) -> JsonObject:
        """What the provider is told of the document besides its parameters."""
        options = {name: value for name, value in model.spec.items() if name not in _SPEC_KEYS}
        if "file" in options:
            options["path"] = self._file_of(model, project=project)
        if "tokenizer" in options:
            options["tokenizer_path"] = self._file_of(model, project=project, role="tokenizer")
        return options

    def _file_of(self, model: Version, *, project: str, role: str = "file") -> str:
        digest = str(model.spec[role])
        path = None if self._path_of is None else self._path_of(project, digest)
        if path is None or not path.exists():
            raise NotFound(
                f"the model's file {digest} is not kept here", where=model.ref, hint="Add it: tidemill models add FILE"
            )
        return str(path)

    async def _connection(
        self, provider: ChatProvider | EmbedProvider, version: Version, *, project: str, environment: str
    ) -> Connection:
        named = version.spec.get("connection")
        default = Connection(name=provider.name, provider=provider.name, environment=environment)
        if named is None and not getattr(provider, "connects", True):
            return default
        name = provider.name if named is None else str(named)
        connection = await self._connection_for(project, name, environment)
        if connection is None and named is not None:
            raise NotFound(
                f"connection/{name} does not exist in the environment {environment!r}",
                where=version.ref,
                hint=f"Write a document of kind connection named {name}, with provider: {provider.name}.",
            )
        if connection is not None and connection.provider != provider.name:
            raise Invalid(
                f"connection/{name} is for {connection.provider}, but the {version.kind} is for {provider.name}",
                where=version.ref,
                hint=f"Name a connection of {provider.name}, or change the {version.kind}'s provider.",
            )
        return connection or default

    def _budget(self, project: str, provider: ChatProvider | EmbedProvider, connection: Connection) -> RetryBudget:
        if not getattr(provider, "connects", True):
            return RetryBudget(most=math.inf, left=math.inf)
        return self._budgets.setdefault((project, connection.name), RetryBudget())

    def _result(
        self, call: _Call, response: ChatResponse, *, attempts: int, started: float, first_token: float | None
    ) -> ChatResult:
        return ChatResult(
            response=response,
            cost=cost_of(call.connection.provider, response.model or call.request.model, response.usage),
            latency_ms=(self._clock.monotonic() - started) * 1000,
            first_token_ms=None if first_token is None else (first_token - started) * 1000,
            connection=call.connection.name,
            attempts=attempts,
        )


_SPEC_KEYS = frozenset({"provider", "model", "params", "connection", "adapter"})


def _provider(group: str, version: Version, loaded: dict[str, P]) -> P:
    name = str(version.spec.get("provider"))
    provider = loaded.get(name)
    if provider is None:
        provider = cast("Callable[[], P]", load_extension(group, name))()
        loaded[name] = provider
    return provider


def _model_name(version: Version) -> str:
    return str(version.spec.get("model") or version.name)


async def _open(call: _Call) -> tuple[AsyncIterator[ChatDelta], list[ChatDelta]]:
    """Start the stream and wait for its first real piece; until then the call may be made again."""
    source = call.provider.stream(call.request, connection=call.connection)
    beginning: list[ChatDelta] = []
    try:
        async for delta in source:
            beginning.append(delta)
            if delta.text or delta.tool_call or delta.finish_reason:
                return source, beginning
    except BaseException:
        await _close(source)
        raise
    raise Unavailable(
        f"{call.connection.provider}: the stream ended before it began", where=f"connection/{call.connection.name}"
    )


async def _close(source: AsyncIterator[ChatDelta]) -> None:
    if isinstance(source, AsyncGenerator):
        await source.aclose()


def _shows(delta: ChatDelta) -> bool:
    return bool(delta.text or delta.tool_call or delta.finish_reason or delta.usage or delta.logprobs)
