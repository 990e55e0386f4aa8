"""What the data plane answers besides conversations: vectors, orders of rank, verdicts, pictures, sound, numbers of tokens.

A task is passed on as it is written where the model's provider speaks its dialect. Some are answered here as well, by a kind of
artifact that can: those say how.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import msgspec

from tidemill.core.chat import ChatRequest, Dialect
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind, Version
from tidemill.models.caller import Caller
from tidemill.models.calls import Operation, RawRequest
from tidemill.models.service import Models
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.problems import Refusal, refusal_of, refusal_of_crash
from tidemill.telemetry import Span

Headers: TypeAlias = Mapping[str, str]
"""Of a request, with names in lower case."""

LARGEST_JSON: Final = 16 * 2**20
JSON_HEADERS: Final[Headers] = {"content-type": "application/json"}


class Unspoken(Invalid):
    """The model's provider does not speak the dialect, and there is another way: see `Task.otherwise`."""


class TaskCall(msgspec.Struct, frozen=True, kw_only=True):
    """One task as it was asked. `shown` is what the trace shows as input; `fields` the request's, parsed.

    `request` is there where the task is of a conversation, to be counted.
    """

    model: str
    raw: RawRequest
    shown: Json = None
    user: str | None = None
    request: ChatRequest | None = None

    @property
    def fields(self) -> JsonObject:
        """The request's fields."""
        return self.raw.fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a task is answered with here: the model or embedder, who asks, and where it is traced."""

    call: TaskCall
    model: Version
    models: Models
    caller: Caller
    span: Span
    head: Head
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """What limits, cache and routing want to say in headers."""


Here: TypeAlias = Callable[[Asked], Awaitable[JsonObject]]
"""Answers a task by what there is here; the body of the response."""


class Errors(Protocol):
    """The shape of a dialect's errors."""

    def refusal(self, error: TidemillError) -> Refusal:
        """An error of the caller's, or of what answers."""
        ...

    def crash(self, *, trace: str | None) -> Refusal:
        """A fault of ours."""
        ...


class PlainErrors:
    """`{"error": {…}}`."""

    def refusal(self, error: TidemillError) -> Refusal:
        """An error of the caller's, or of what answers."""
        return refusal_of(error)

    def crash(self, *, trace: str | None) -> Refusal:
        """A fault of ours."""
        return refusal_of_crash(trace=trace)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One door. `here` says, by the kind of artifact, what answers without a provider of the dialect.

    `otherwise` answers for a model whose provider does not speak it (`raw.refused` is `Unspoken` then); without one, such a
    model is refused.
    """

    operation: Operation
    dialect: Dialect
    span: SpanKind
    read: Callable[[bytes, Headers], TaskCall]
    here: Mapping[str, Here] = field(default_factory=dict[str, Here])
    otherwise: Here | None = None
    errors: Errors = field(default_factory=PlainErrors)
    largest: int = LARGEST_JSON

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of artifact that may be named; anything else is reached through an endpoint."""
        return frozenset({"model", "route", *self.here})
