"""One attempt at one model: whole, streamed, or passed through as it is written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final, cast

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Dialect
from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.extend import ChatProvider, ForwardsRaw, RawAnswer
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.models import annotate
from tidemill.models.believable import believed
from tidemill.models.beside import begins
from tidemill.models.calls import Call, RawRequest
from tidemill.models.losses import crossing
from tidemill.models.raw import written_for
from tidemill.models.reach import Reach, model_name

_LARGEST_BODY: Final = 64 * 2**20
_NONE: Final = frozenset[str]()


@dataclass(kw_only=True, slots=True)
class Opened:
    """An answer that is whole (`response`), or has begun: as deltas (`source`) or as the provider's own bytes (`raw`).

    `deltas` and `held` are what came already. `at` is when, in monotonic seconds.
    """

    connection: Connection
    model: str
    at: float
    response: ChatResponse | None = None
    source: AsyncIterator[ChatDelta] | None = None
    deltas: list[ChatDelta] = field(default_factory=list[ChatDelta])
    raw: RawAnswer | None = None
    held: list[bytes] = field(default_factory=list[bytes])

    async def close(self) -> None:
        """Let go: the provider's connection is closed where the answer has not come to its end."""
        if self.raw is not None:
            await self.raw.chunks.aclose()
        elif isinstance(self.source, AsyncGenerator):
            await self.source.aclose()


class Asking:
    """The attempts of one call: an `Attempt[Opened]`."""

    __slots__ = ("_call", "_clock", "_reach")

    def __init__(self, call: Call, reach: Reach, clock: Clock) -> None:
        self._call = call
        self._reach = reach
        self._clock = clock

    async def __call__(self, model: Version, /, *, timeout: float | None = None) -> Opened:
        """Ask one model once. No silence is longer than `timeout` seconds; how long all may take is the caller's to watch."""
        call = self._call
        caller = call.caller
        provider = self._reach.chat_provider(model)
        connection = await self._reach.connection(provider, model, project=caller.project, environment=caller.environment)
        if timeout is not None and timeout < connection.timeout:
            connection = replace(connection, timeout=timeout)
        name = model_name(model)
        annotate.note_request(
            call.span, operation=call.operation, model=name, connection=connection, environment=caller.environment
        )
        raw = call.raw
        if raw is not None and _speaks(provider, raw.dialect, connection):
            if call.request is not None:
                annotate.note_parameters(call.span, call.request)
            return await self._forward(cast("ForwardsRaw", provider), model, raw, connection)
        if raw is not None and raw.refused is not None:
            raise raw.refused
        if call.request is None:
            dialect = "" if raw is None else raw.dialect
            hint = f"Name a model whose provider speaks {dialect}."
            raise Invalid(f"{provider.name} has nothing that answers {dialect}", where="model", hint=hint, kind="invalid")
        request = await self._reach.request(model, call.request, project=caller.project)
        request = crossing(request, writes=getattr(provider, "writes", None), provider=provider.name)
        annotate.note_parameters(call.span, request)
        if call.stream:
            return await self._open(provider, request, connection)
        response = believed(await provider.chat(request, connection=connection))
        return Opened(connection=connection, model=name, at=self._clock.monotonic(), response=response)

    async def discard(self, opened: Opened, /) -> None:
        """Close an answer that is not taken."""
        await opened.close()

    def filtered(self, opened: Opened, /) -> bool:
        """Whether a whole answer was cut short by the provider's own filter."""
        if self._call.stream:
            return False
        response = opened.response if opened.raw is None else opened.raw.reader.response()
        return response is not None and response.finish_reason == "content_filter"

    async def _open(self, provider: ChatProvider, request: ChatRequest, connection: Connection) -> Opened:
        """Start the stream and wait for its first real piece; until then another may be asked."""
        source = provider.stream(request, connection=connection)
        opened = Opened(connection=connection, model=request.model, at=0.0, source=source)
        try:
            async for delta in source:
                opened.deltas.append(delta)
                if begins(delta):
                    opened.at = self._clock.monotonic()
                    return opened
        except BaseException:
            await opened.close()
            raise
        raise _too_early(connection)

    async def _forward(self, provider: ForwardsRaw, model: Version, raw: RawRequest, connection: Connection) -> Opened:
        """Send the client's own bytes and wait for the first that answers it; until then another may be asked."""
        name = model_name(model)
        params = cast("JsonObject", model.spec.get("params") or {})
        if params:
            params = provider.raw_params(raw.dialect, params, connection=connection)
        body = written_for(raw, params, name=name)
        answer = await provider.forward(
            raw.dialect, body, model=name, connection=connection, stream=raw.stream, headers=raw.headers
        )
        opened = Opened(connection=connection, model=name, at=0.0, raw=answer)
        try:
            await _wait_for_beginning(opened, answer, whole=not raw.stream)
        except BaseException:
            await opened.close()
            raise
        opened.at = self._clock.monotonic()
        return opened


def _speaks(provider: ChatProvider, dialect: Dialect, connection: Connection) -> bool:
    """Whether a provider takes what is written in a dialect; of those that it knows, a server may have but some."""
    if dialect not in getattr(provider, "dialects", _NONE):
        return False
    here = getattr(provider, "speaks", None)
    return here is None or here(dialect, connection)


async def _wait_for_beginning(opened: Opened, answer: RawAnswer, *, whole: bool) -> None:
    reader, size = answer.reader, 0
    async for piece in answer.chunks:
        opened.held.append(piece)
        reader.feed(piece)
        if reader.error is not None:
            raise reader.error
        if reader.began and not whole:
            return
        size += len(piece)
        if size > _LARGEST_BODY:
            raise Unavailable(f"the answer is longer than {_LARGEST_BODY // 2**20} MiB", kind="server")
    reader.end()
    error: TidemillError | None = reader.error
    if error is None and not reader.began and not reader.ended:
        error = _too_early(opened.connection)
    if error is not None:
        raise error


def _too_early(connection: Connection) -> Unavailable:
    said = f"{connection.provider}: the stream ended before it began"
    return Unavailable(said, where=f"connection/{connection.name}", kind="connection")
