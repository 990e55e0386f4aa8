"""What a dialect is: a reader of requests, a writer of answers and of their streams, and the shape of its errors."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tidemill.core.chat import ChatDelta, Dialect
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.problems import Refusal


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every piece of one answer carries. `id` has no prefix; `created` is in seconds since the epoch."""

    id: str
    trace: str
    model: str
    release: str
    created: int


class Writer(Protocol):
    """Writes one answer, whole or as a stream: `begin`, then `piece` for each delta, then `end` or `broken`.

    Each of the last four gives the bytes of complete server-sent events, or none.
    """

    def whole(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        ...

    def begin(self) -> bytes:
        """What opens the stream."""
        ...

    def piece(self, delta: ChatDelta) -> bytes:
        """The events for one delta."""
        ...

    def end(self, answer: Answer) -> bytes:
        """What closes the stream after the last delta."""
        ...

    def broken(self, refusal: Refusal) -> bytes:
        """What closes a stream that has begun and cannot go on."""
        ...


class ChatDialect(Protocol):
    """One way to ask for an answer. Made once; a request gets a `Writer` of its own."""

    @property
    def name(self) -> Dialect:
        """As providers name it in `dialects`, such as `anthropic.messages`."""
        ...

    def read(self, body: JsonObject) -> ChatCall:
        """Parse a request's body. Raises `Invalid` with the place in it."""
        ...

    def writer(self, head: Head, call: ChatCall) -> Writer:
        """What writes the answer to this request."""
        ...

    def refusal(self, error: TidemillError) -> Refusal:
        """An error in the dialect's own shape."""
        ...

    def crash(self, *, trace: str | None) -> Refusal:
        """The answer for a fault of ours, with no detail but where to look."""
        ...
