"""The dialect of `/v1/chat/completions`.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from tidemill.core.chat import ChatDelta, Dialect
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.serve.chat_request import ChatCall, read_chat_call
from tidemill.serve.chat_response import Answer, Envelope
from tidemill.serve.dialects.dialect import Head, Writer
from tidemill.serve.dialects.events import DONE, event
from tidemill.serve.problems import Refusal, refusal_of, refusal_of_crash


class ChatWriter:
    """Writes one completion, or its chunks."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._opened: set[int] = set()
        self._envelope = Envelope(
            id=f"chatcmpl-{head.id}", trace=head.trace, model=head.model, release=head.release, created=head.created
        )

    def whole(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        return self._envelope.completion(answer)

    def begin(self) -> bytes:
        """The chunk with the role."""
        return event(self._envelope.first_chunk())

    def piece(self, delta: ChatDelta) -> bytes:
        """The chunk for one delta, if it shows anything; before the first of a further answer, the one that opens it."""
        chunk = self._envelope.delta_chunk(delta)
        if chunk is None:
            return b""
        if delta.choice and delta.choice not in self._opened:
            self._opened.add(delta.choice)
            return event(self._envelope.first_chunk(delta.choice)) + event(chunk)
        return event(chunk)

    def end(self, answer: Answer) -> bytes:
        """The chunk with the reason, the one with the usage where it was asked for, and the marker that clients wait for."""
        last = event(self._envelope.last_chunk(answer, extended=not self._include_usage))
        usage = event(self._envelope.usage_chunk(answer)) if self._include_usage else b""
        return last + usage + DONE

    def broken(self, refusal: Refusal) -> bytes:
        """The error as the last event."""
        return event(refusal.body) + DONE


class Chat:
    """Reads and writes chat completions."""

    name: Dialect = "openai.chat"

    def read(self, body: JsonObject) -> ChatCall:
        """Parse a request's body. Raises `Invalid` with the place in it."""
        return read_chat_call(body)

    def writer(self, head: Head, call: ChatCall) -> Writer:
        """What writes the answer to this request."""
        return ChatWriter(head, include_usage=call.include_usage)

    def refusal(self, error: TidemillError) -> Refusal:
        """An error in the dialect's own shape."""
        return refusal_of(error)

    def crash(self, *, trace: str | None) -> Refusal:
        """The answer for a fault of ours."""
        return refusal_of_crash(trace=trace)
