"""The dialect of `/v1/responses`. Answers are not kept: what names an earlier one is refused.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from tidemill.core.chat import Dialect
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.dialects.dialect import Head, Writer
from tidemill.serve.dialects.responses_items import NAME
from tidemill.serve.dialects.responses_read import ResponsesCall, read_responses_call
from tidemill.serve.dialects.responses_write import ResponsesWriter
from tidemill.serve.problems import Refusal, refusal_of, refusal_of_crash


class Responses:
    """Reads and writes responses."""

    name: Dialect = NAME

    def read(self, body: JsonObject) -> ChatCall:
        """Parse a request's body. Raises `Invalid` with the place in it."""
        return read_responses_call(body)

    def writer(self, head: Head, call: ChatCall) -> Writer:
        """What writes the answer to this request."""
        return ResponsesWriter(head, call.body if isinstance(call, ResponsesCall) else {})

    def refusal(self, error: TidemillError) -> Refusal:
        """An error in the dialect's own shape."""
        return refusal_of(error)

    def crash(self, *, trace: str | None) -> Refusal:
        """The answer for a fault of ours."""
        return refusal_of_crash(trace=trace)
