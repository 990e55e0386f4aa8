from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tidemill.core.chat import ChatRequest, Connection
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.records import SpanRecord, Version
from tidemill.models import Models
from tidemill.models.caller import Caller
from tidemill.models.retry import RetryPolicy
from tidemill.telemetry import Recorder, Span

QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.002, deadline=20.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Traced:
    records: list[SpanRecord] = field(default_factory=list)

    def span(self, kind="llm") -> Span:
        clock = SystemClock()
        return Recorder(self.records.append, ids=Ids(clock=clock), clock=clock).trace("call", kind=kind, project="p")


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
def connections() -> dict[str, Connection]:
    return {}


@pytest.fixture
async def models(connections) -> Iterator[Models]:
    async def connection_for(project: str, name: str, environment: str) -> Connection | None:
        return connections.get(name)

    made = Models(connection_for=connection_for, retry=QUICK)
    yield made
    await made.close()


@pytest.fixture
def call(models, traced) -> Callable[..., Awaitable]:
    """`await call(model, request)`: a whole answer."""

    async def make(model: Version, request: ChatRequest):
        with traced.span() as span:
            return await models.chat(model, request, caller=Caller.internal("p", "local"), span=span)

    return make


@pytest.fixture
def streamed(models, traced) -> Callable[..., Awaitable]:
    """`await streamed(model, request)`: the deltas, and the result."""

    async def make(model: Version, request: ChatRequest):
        with traced.span() as span:
            stream = models.stream(model, request, caller=Caller.internal("p", "local"), span=span)
            return [delta async for delta in stream], stream.result

    return make
