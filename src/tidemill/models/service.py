"""Calling models. Whoever needs an answer or a vector comes here, so that limits, cache, routing and spans have no way around.

A call goes `admit -> look -> run -> settle` (see `calls.py`): the limits reserve, the cache is looked into, the router makes
attempts, and what was used is settled when the answer has come to its end, or has broken off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from tidemill.core.chat import ChatDelta, ChatRequest, Connection, EmbedResponse, Rendered
from tidemill.core.clock import Clock, SystemClock
from tidemill.core.errors import DeadlineExceeded, Invalid
from tidemill.core.extend import ChatProvider
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.core.records import Version
from tidemill.models import annotate
from tidemill.models.answered import Answered
from tidemill.models.attempts import Asking, Opened
from tidemill.models.caller import Caller
from tidemill.models.calls import Cache, Call, Guards, Limiter, Operation, RawRequest, Routed, Router
from tidemill.models.checks.requests import screen_request
from tidemill.models.direct import Direct
from tidemill.models.embedding import Embedder, VectorCache
from tidemill.models.media import ReadBlob
from tidemill.models.passage import Passage, screen_answer
from tidemill.models.reach import ConnectionFor, PathOf, Reach, model_name
from tidemill.models.retry import RetryPolicy
from tidemill.models.stream import ChatResult, ChatStream
from tidemill.telemetry import Span, null_recorder


@runtime_checkable
class _Renders(ChatProvider, Protocol):
    """A provider whose engine runs here and shows what it reads."""

    async def render(self, request: ChatRequest, *, connection: Connection) -> Rendered: ...


class Models:
    """Every chat model and embedder. Belongs to one event loop; `close` it there.

    `read_blob(project, digest)` fetches the content of message parts that are held by digest; `path_of(project, digest)` says
    where a model's own file is. `limiter`, `guards`, `cache` and `router` stand on the way of every call; without one, its step
    costs nothing. They may be set later, as long as no call was made.
    """

    def __init__(  # noqa: PLR0913  (the parts that a call meets)
        self,
        *,
        connection_for: ConnectionFor,
        clock: Clock | None = None,
        retry: RetryPolicy | None = None,
        read_blob: ReadBlob | None = None,
        path_of: PathOf | None = None,
        limiter: Limiter | None = None,
        cache: Cache | None = None,
        router: Router | None = None,
        guards: Guards | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._retry = retry or RetryPolicy()
        self._reach = Reach(connection_for=connection_for, read_blob=read_blob, path_of=path_of)
        self.limiter = limiter
        self.cache = cache
        self.vectors: VectorCache | None = None
        self.guards = guards
        self.router: Router = router or Direct(reach=self._reach, policy=self._retry, clock=self._clock)

    async def chat(self, model: Version, request: ChatRequest, *, caller: Caller, span: Span) -> ChatResult:
        """Ask and wait for the whole answer. `request.model` is not read; `request.params` win over the model's own.

        Raises `Unavailable`, `RateLimited`, `Denied` (`Blocked` by a guardrail), `Invalid` or `MissingExtra`. Cancelling it
        closes the connection.
        """
        return (await self.begin(model, request, caller=caller, span=span)).result

    def stream(self, model: Version, request: ChatRequest, *, caller: Caller, span: Span) -> ChatStream:
        """Ask and yield the answer as it arrives; see `ChatStream`. Tries again only before the first piece came."""

        async def deltas(finish: Callable[[ChatResult], None]) -> AsyncGenerator[ChatDelta]:
            answered = await self.begin(model, request, caller=caller, span=span, stream=True)
            pieces = answered.deltas()
            try:
                async for delta in pieces:
                    yield delta
            finally:
                await pieces.aclose()
            finish(answered.result)

        return ChatStream(deltas)

    async def begin(
        self,
        model: Version,
        request: ChatRequest | None,
        *,
        caller: Caller,
        span: Span,
        stream: bool = False,
        raw: RawRequest | None = None,
        operation: Operation = "chat",
        at_door: bool = False,
    ) -> Answered:
        """Ask, and wait for the answer or the first of its stream; until then something else may have been asked.

        `raw` is the request as the client wrote it: it is passed on as it is where the model's provider speaks its dialect
        (`Answered.is_raw`), else `request` is asked, and without one `Invalid` is raised. `at_door`: this is what the caller's
        endpoint was asked, so its guardrails hold as well as the model's. Errors as for `chat`.
        """
        call = Call(
            operation=operation, model=model, caller=caller, span=span, started=self._clock.monotonic(), stream=stream,
            request=request, raw=raw,
        )  # fmt: skip
        left = caller.left(call.started)
        if left is None:
            return await self._begin(call, at_door=at_door)
        try:
            async with asyncio.timeout(left):
                return await self._begin(call, at_door=at_door)
        except TimeoutError as error:
            hint = "Allow more time, or ask a model that is quicker."
            said = f"no answer within the {left:.3g} s that the caller allows"
            raise DeadlineExceeded(said, hint=hint, kind="timeout") from error

    async def _begin(self, call: Call, *, at_door: bool) -> Answered:
        if self.guards is not None:
            call.screen = await self.guards.screen_for(call, at_door=at_door)
        passage = Passage(call, self.router, self._clock)
        await passage.enter(self.limiter, self.cache)
        routed: Routed[Opened] | None = None
        if passage.hit is None:
            try:
                routed = await self.router.run(call, Asking(call, self._reach, self._clock))
            except BaseException as error:
                passage.failed(error)
                raise
            if call.screen is not None:
                await screen_answer(passage, routed, call.screen)
        return Answered(passage, routed, self._clock)

    async def embed(
        self,
        embedder: Version,
        texts: Sequence[str],
        *,
        caller: Caller,
        span: Span | None = None,
        dimensions: int | None = None,
        notes: dict[str, str] | None = None,
        at_door: bool = False,
    ) -> EmbedResponse:
        """Embed every text, in order and in batches; each batch is tried again, and goes by a route, by itself.

        `dimensions` takes the place of the embedder's own; `notes` collects what a door says in headers. `at_door` as for
        `begin`, errors as for `chat`.
        """
        call = Call(
            operation="embeddings", model=embedder, caller=caller, started=self._clock.monotonic(), texts=tuple(texts),
            span=span or null_recorder().trace("embed", kind="embedding", project=caller.project),
            notes={} if notes is None else notes,
        )  # fmt: skip
        left = caller.left(call.started)
        try:
            async with asyncio.timeout(left):
                return await self._embed(call, dimensions, at_door=at_door)
        except TimeoutError as error:
            said = f"no vectors within the {left:.3g} s that the caller allows"
            hint = "Allow more time, or send fewer texts at once."
            raise DeadlineExceeded(said, hint=hint, kind="timeout") from error

    async def _embed(self, call: Call, dimensions: int | None, *, at_door: bool) -> EmbedResponse:
        if self.guards is not None:
            call.screen = await self.guards.screen_for(call, at_door=at_door)
        permit = None if self.limiter is None else await self.limiter.admit(call)
        try:
            if call.screen is not None:
                await screen_request(call, call.screen)
            known = None if self.vectors is None else await self.vectors.look(call, dimensions=dimensions)
            embedder = Embedder(reach=self._reach, router=self.router, clock=self._clock)
            response, spent = await embedder.embed(call, dimensions=dimensions, known=known)
        except BaseException:
            if permit is not None:
                permit.release()
            raise
        if permit is not None:
            permit.settle(spent)
        annotate.note_embedding(call.span, response, cost=spent.cost, saved=spent.saved)
        return response

    async def tokenize(self, model: Version, text: str, *, project: str, environment: str) -> Sequence[int]:
        """The ids of a text's tokens as the model has them. Raises `Invalid` for a model that does not run here."""
        provider = self._reach.chat_provider(model)
        tokenize = getattr(provider, "tokenize", None)
        if tokenize is None:
            raise Invalid(f"{model.ref} does not say how it cuts a text into tokens", hint="Use a model of provider: local.")
        connection = await self._reach.connection(provider, model, project=project, environment=environment)
        params: dict[str, Json] = {}
        if "file" in model.spec:
            path = self._reach.file_of(model, project=project)
            params["provider_options"] = {"file": model.spec["file"], "path": path}
        request = ChatRequest(model=model_name(model), messages=(), params=params)
        return cast("Sequence[int]", await tokenize(text, request=request, connection=connection))

    async def render(self, model: Version, messages: tuple[Message, ...], *, project: str, environment: str) -> Rendered:
        """The one text that a model which runs here reads for these messages. Raises `Invalid` for a model elsewhere."""
        provider = self._reach.chat_provider(model)
        if not isinstance(provider, _Renders):
            raise Invalid(f"{model.ref} runs elsewhere: what it reads is not known", hint="Name a model of provider: local.")
        connection = await self._reach.connection(provider, model, project=project, environment=environment)
        options = self._reach.options(model, project=project)
        params: JsonObject = {"provider_options": options} if options else {}
        request = ChatRequest(model=model_name(model), messages=messages, params=params)
        return await provider.render(request, connection=connection)

    def file_of(self, model: Version, *, project: str) -> Path:
        """The file of a model that runs here. Raises `Invalid` for a model elsewhere, and `MissingExtra`."""
        if "file" in model.spec:
            return Path(self._reach.file_of(model, project=project))
        find = getattr(self._reach.chat_provider(model), "model_file", None)
        path = None if find is None else cast("Path | None", find(str(model.spec.get("model"))))
        if path is None:
            raise Invalid(f"{model.ref} has no file here: it runs elsewhere", hint="Name a model of provider: local.")
        return path

    async def close(self) -> None:
        """Release every connection and child process."""
        if self.guards is not None:
            await self.guards.close()
        await self._reach.close()
