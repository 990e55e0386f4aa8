"""Embedding many texts: each batch is routed, and tried again, by itself; what is kept of an earlier call is not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, cast

import msgspec

from tidemill.core.chat import Connection, EmbedResponse, Usage, Vectors
from tidemill.core.clock import Clock
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.models import annotate
from tidemill.models.batches import embed_in_batches
from tidemill.models.believable import believable
from tidemill.models.calls import Call, Router, Spent
from tidemill.models.estimate import estimated_input
from tidemill.models.reach import Reach, model_name
from tidemill.pricing.prices import cost_of

_AT_A_TIME: Final = 128  # texts that go to one target of a route


class KnownTexts(Protocol):
    """Which of a call's texts were embedded before, and where the others are put. `saved` is in US dollars."""

    found: Mapping[int, bytes]
    saved: float | None

    def put(self, vectors: Mapping[int, bytes], *, cost: float | None) -> None:
        """Keep vectors by the place of their text. It returns at once and never raises."""
        ...


class VectorCache(Protocol):
    """Vectors of texts that were embedded before."""

    async def look(self, call: Call, *, dimensions: int | None) -> KnownTexts | None:
        """What is kept of the call's texts; None when nothing is to be kept.

        Raises `NotFound` where `only` kept vectors are wanted and one is missing.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """What one attempt gave. `cost` in US dollars; `estimated`: nobody said what was used, so it was counted here."""

    response: EmbedResponse
    connection: Connection
    model: str
    cost: float | None
    estimated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sizes:
    """How a call is cut into batches before it is known who takes them."""

    name: str
    batch_size: int = _AT_A_TIME


class Embedding:
    """The attempts of one batch: an `Attempt[Embedded]`. `dimensions` is what the request wants; None: the embedder's own."""

    __slots__ = ("_call", "_dimensions", "_reach")

    def __init__(self, call: Call, reach: Reach, *, dimensions: int | None) -> None:
        self._call = call
        self._reach = reach
        self._dimensions = dimensions

    async def __call__(self, model: Version, /, *, timeout: float | None = None) -> Embedded:
        """Embed the texts once; `timeout` is in seconds."""
        call, reach = self._call, self._reach
        caller = call.caller
        provider = reach.embed_provider(model)
        connection = await reach.connection(provider, model, project=caller.project, environment=caller.environment)
        if timeout is not None and timeout < connection.timeout:
            connection = replace(connection, timeout=timeout)
        name, params = model_name(model), self._params(model)
        annotate.note_request(
            call.span, operation=call.operation, model=name, connection=connection, environment=caller.environment
        )

        async def embed(batch: Sequence[str]) -> EmbedResponse:
            return await provider.embed(batch, model=name, params=params, connection=connection)

        response = await embed_in_batches(call.texts, embed, provider=provider)
        usage = believable(response.usage)
        is_said = bool(usage.input_tokens)
        if not is_said:
            response = replace(response, usage=Usage(input_tokens=estimated_input(call)))
        cost = cost_of(connection.provider, response.model or name, response.usage)
        return Embedded(response=response, connection=connection, model=name, cost=cost, estimated=not is_said)

    async def discard(self, opened: Embedded, /) -> None:
        """Vectors hold nothing that has to be let go."""

    def filtered(self, opened: Embedded, /) -> bool:  # noqa: ARG002  (the Protocol's argument)
        """Nobody filters vectors."""
        return False

    def _params(self, model: Version) -> JsonObject:
        params: dict[str, Json] = dict(cast("JsonObject", model.spec.get("params") or {}))
        dimensions = self._dimensions or model.spec.get("dimensions")
        if dimensions is not None:
            params["dimensions"] = dimensions
        if "file" in model.spec:
            options = self._reach.options(model, project=self._call.caller.project)
            params["provider_options"] = options if self._dimensions is None else {**options, "dimensions": self._dimensions}
        return params


class Embedder:
    """Embeds the texts of a call: those that are not known, in batches, by whoever the router chooses for each."""

    __slots__ = ("_clock", "_reach", "_router")

    def __init__(self, *, reach: Reach, router: Router, clock: Clock) -> None:
        self._reach = reach
        self._router = router
        self._clock = clock

    async def embed(self, call: Call, *, dimensions: int | None, known: KnownTexts | None) -> tuple[EmbedResponse, Spent]:
        """Every text's vector, in order, and what was used and saved."""
        found: Mapping[int, bytes] = {} if known is None else known.found
        missing = [place for place in range(len(call.texts)) if place not in found]
        response, spent = _NO_RESPONSE, _NOTHING_SPENT
        if missing:
            asked = call if not found else msgspec.structs.replace(call, texts=tuple(call.texts[each] for each in missing))
            response, spent = await self._ask(asked, dimensions)
        if known is None:
            return response, spent
        made = {place: response.vectors.row(index) for index, place in enumerate(missing)}
        if made:
            known.put(made, cost=spent.cost)
        if not found:
            return response, spent
        rows = {**found, **made}
        if len({len(each) for each in rows.values()}) > 1:  # what is behind the name has changed since
            return await self._ask(call, dimensions)
        data = b"".join(rows[place] for place in range(len(call.texts)))
        vectors = Vectors(dimensions=len(rows[0]) // 4, data=data)
        joined = EmbedResponse(vectors=vectors, usage=response.usage, model=response.model)
        return joined, msgspec.structs.replace(spent, saved=known.saved)

    async def _ask(self, call: Call, dimensions: int | None) -> tuple[EmbedResponse, Spent]:
        """By batches, each a call of its own for the router."""
        costs: list[float | None] = []
        served: list[Embedded] = []

        async def embed(batch: Sequence[str]) -> EmbedResponse:
            part = msgspec.structs.replace(call, texts=tuple(batch), started=self._clock.monotonic(), wasted=0.0)
            routed = await self._router.run(part, Embedding(part, self._reach, dimensions=dimensions))
            answer = routed.answer
            spent = Spent(
                usage=answer.response.usage, cost=answer.cost, provider=answer.connection.provider,
                served=answer.response.model or answer.model, estimated=answer.estimated,
            )  # fmt: skip
            self._router.settled(part, routed.model, spent, seconds=self._clock.monotonic() - part.started)
            costs.append(None if answer.cost is None else answer.cost + part.wasted)
            served.append(answer)
            return answer.response

        kind = call.model.kind
        sizes = _Sizes(name=call.model.bare) if kind == "route" else self._reach.embed_provider(call.model)
        response = await embed_in_batches(call.texts, embed, provider=sizes)
        cost = None if None in costs else sum(each for each in costs if each is not None)
        last = served[-1] if served else None
        if last is not None and kind == "route":
            annotate.note_served(call.span, model=last.model, connection=last.connection)
        provider = "" if last is None else last.connection.provider
        name = response.model or ("" if last is None else last.model)
        estimated = any(each.estimated for each in served)
        return response, Spent(usage=response.usage, cost=cost, provider=provider, served=name, estimated=estimated)


_NO_RESPONSE: Final = EmbedResponse(vectors=Vectors(dimensions=0, data=b""))
_NOTHING_SPENT: Final = Spent(usage=Usage(), cost=0.0)
