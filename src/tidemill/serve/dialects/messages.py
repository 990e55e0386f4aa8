"""The dialect of `/v1/messages`.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from tidemill.core.chat import Dialect
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.dialects.dialect import Head, Writer
from tidemill.serve.dialects.messages_blocks import NAME
from tidemill.serve.dialects.messages_errors import messages_crash, messages_refusal
from tidemill.serve.dialects.messages_read import read_messages_call
from tidemill.serve.dialects.messages_write import MessagesWriter
from tidemill.serve.problems import Refusal


class Messages:
    """Reads and writes messages."""

    name: Dialect = NAME

    def read(self, body: JsonObject) -> ChatCall:
        """Parse a request's body. Raises `Invalid` with the place in it."""
        return read_messages_call(body)

    def writer(self, head: Head, call: ChatCall) -> Writer:  # noqa: ARG002  (the Protocol's argument)
        """What writes the answer to this request."""
        return MessagesWriter(head)

    def refusal(self, error: TidemillError) -> Refusal:
        """An error in the dialect's own shape."""
        return messages_refusal(error)

    def crash(self, *, trace: str | None) -> Refusal:
        """The answer for a fault of ours."""
        return messages_crash(trace=trace)
