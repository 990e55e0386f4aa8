"""One call of a model on its way, and what stands on that way: limits, guardrails, kept answers, the choice of who answers.

Every call goes `admit -> screen -> look -> run -> settle`, whoever makes it: a door, a chain, a judge, an index. Each of the
four is a Protocol here; without one, its step is left out. Guardrails read the request before a kept answer is looked for, and
the answer before it is kept or given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from tidemill.core.chat import ChatRequest, ChatResponse, Dialect, Usage
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.models.caller import Caller
from tidemill.models.checks.screen import Screen
from tidemill.models.stream import ChatResult
from tidemill.telemetry import Span

Operation: TypeAlias = Literal[
    "chat", "completions", "embeddings", "rerank", "moderations", "images", "transcriptions", "speech", "count_tokens"
]
T = TypeVar("T")


class RawRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as a client wrote it. `fields` is its JSON, parsed (empty for what is not JSON); nobody changes it.

    `headers` (names in lower case) are those that belong to the dialect, `content-type` among them. `counts` says that the
    client asked for usage at the end of its stream; where it did not, what was added to count by is not shown to it.
    """

    dialect: Dialect
    body: bytes
    fields: JsonObject
    headers: Mapping[str, str]
    stream: bool = False
    counts: bool = True
    rename: Callable[[str], bytes] | None = None
    refused: TidemillError | None = None


class Call(msgspec.Struct, kw_only=True):
    """One call. `model` is what was asked for: a model, an embedder, or a route to several of them.

    `request` is there for every chat, also beside `raw`; `texts` for what is embedded. `started` is in monotonic seconds.
    `notes` collects what the parts on the way want to say in the answer's headers (names in lower case). `wasted` is what
    attempts cost that gave no answer, in US dollars: the slower of two. `screen` is what guardrails make of it.
    """

    operation: Operation
    model: Version
    caller: Caller
    span: Span
    started: float
    stream: bool = False
    request: ChatRequest | None = None
    raw: RawRequest | None = None
    texts: tuple[str, ...] = ()
    notes: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    wasted: float = 0.0
    screen: Screen | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a call came to. `cost` is in US dollars, None when no price is known; `saved` what a kept answer made unnecessary.

    `estimated`: the provider did not say what it used, as when the client left in the middle, and it was counted here.
    `error` is what the call ended with, None when it was whole; `cancelled`: whoever asked has gone. `provider` and `served`
    say whose model it was, by the name that was reported, where that is known.
    """

    usage: Usage
    cost: float | None
    provider: str = ""
    served: str = ""
    saved: float | None = None
    estimated: bool = False
    error: TidemillError | None = None
    cancelled: bool = False


class Permit(Protocol):
    """Leave to make one call. It is handed back exactly once."""

    def settle(self, spent: Spent) -> None:
        """Replace what was reserved by what was used. It returns at once and never raises; what takes time is done later."""
        ...

    def release(self) -> None:
        """The call was not made, or nothing of it counts: give back what was reserved. As `settle`."""
        ...


class Limiter(Protocol):
    """Who may call how much."""

    async def admit(self, call: Call) -> Permit:
        """Reserve an estimate, waiting in the queue if need be.

        Raises `RateLimited`, `BudgetExceeded` or `Overloaded`, saying which limit.
        """
        ...

    def headers_for(self, caller: Caller) -> Mapping[str, str]:
        """How the limits of whoever calls stood at their last call, as headers (names in lower case)."""
        ...


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A kept answer. `age` in seconds; `saved` in US dollars, None when no price is known; `by` how it was found."""

    response: ChatResponse
    age: float
    saved: float | None
    by: Literal["exact", "semantic", "flight"] = "exact"


class Slot(Protocol):
    """Where the answer to this call is put. Exactly one of the two is called, once; neither raises."""

    def put(self, result: ChatResult) -> None:
        """Keep a whole answer, and give it to those who wait for it."""
        ...

    def drop(self, error: TidemillError | None) -> None:
        """There is no answer: those who wait ask by themselves, or get the same error. None: whoever asked has gone."""
        ...


class Cache(Protocol):
    """Answers that were given before."""

    async def look(self, call: Call) -> Hit | Slot | None:
        """A kept answer, else where to put this one; None when it is not to be kept.

        Raises `NotFound` where `only` a kept answer is wanted and there is none.
        """
        ...


class Guards(Protocol):
    """What goes into models and what comes out."""

    async def screen_for(self, call: Call, *, at_door: bool) -> Screen | None:
        """The guardrails of a call; None where there are none.

        `at_door`: it is what an endpoint was asked, and not a part of it, so those of the endpoint are among them. Raises
        `Unavailable` where one cannot be had.
        """
        ...

    async def screen_at(self, caller: Caller, span: Span) -> Screen | None:
        """Those of the endpoint that a caller asked, for an application that is more than one model."""
        ...

    async def close(self) -> None:
        """Wait for what is on its way to a reviewer."""
        ...


class Attempt(Protocol, Generic[T]):
    """Asks one model once."""

    async def __call__(self, model: Version, /, *, timeout: float | None = None) -> T:
        """Wait for the answer, or for the beginning of its stream: from there on no other can be asked.

        No silence is longer than `timeout` seconds; how long all of it may take is the caller's to watch.
        An error has a `kind`. Cancelling it closes the connection.
        """
        ...

    async def discard(self, opened: T, /) -> None:
        """Let go of an answer that is not taken after all, as of the slower of two."""
        ...

    def filtered(self, opened: T, /) -> bool:
        """Whether a whole answer was cut short by the provider's own filter, so that another may be asked."""
        ...


class Routed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a route gave: the answer, who gives it, and after how many attempts."""

    answer: T
    model: Version
    attempts: int


class Router(Protocol):
    """Who answers, and what is tried when they do not."""

    async def run(self, call: Call, attempt: Attempt[T]) -> Routed[T]:
        """Make attempts until one is good. Raises the error of the last, or `Unavailable` when none could be made."""
        ...

    def settled(self, call: Call, model: Version, spent: Spent, *, seconds: float) -> None:
        """An answer that `run` gave came to its end, or broke off. It returns at once and never raises."""
        ...
