"""`/v1/messages/count_tokens`: how many tokens a conversation has, before it is asked.

The provider says it where it can; a model that runs here is read by its own tokenizer; else it is an estimate, said to be one.

https://docs.anthropic.com/en/api/messages-count-tokens
"""

from __future__ import annotations

from typing import Final

from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.json import JsonObject
from tidemill.models.calls import Call, RawRequest
from tidemill.models.estimate import estimated_input
from tidemill.serve.body import read_body
from tidemill.serve.dialects.messages_errors import messages_crash, messages_refusal
from tidemill.serve.dialects.messages_read import read_messages_call
from tidemill.serve.dialects.task import JSON_HEADERS, Asked, Headers, Task, TaskCall, Unspoken
from tidemill.serve.problems import Refusal


class _Errors:
    def refusal(self, error: TidemillError) -> Refusal:
        return messages_refusal(error)

    def crash(self, *, trace: str | None) -> Refusal:
        return messages_crash(trace=trace)


def _read(content: bytes, headers: Headers) -> TaskCall:
    body = read_body(content)
    call = read_messages_call(body)
    request = ChatRequest(
        model=call.model, messages=call.messages, tools=call.tools, output_schema=call.output_schema, params=call.params
    )
    beta = headers.get("anthropic-beta")
    said = {**JSON_HEADERS, "anthropic-beta": beta} if beta else JSON_HEADERS
    unspoken = Unspoken("the provider does not count tokens", where="model", kind="invalid")
    raw = RawRequest(dialect="anthropic.count_tokens", body=content, fields=body, headers=said, refused=unspoken)
    return TaskCall(model=call.model, raw=raw, shown=None, user=call.user, request=request)


async def _count(asked: Asked) -> JsonObject:
    call, caller = asked.call, asked.caller
    request = call.request
    if request is None:
        raise Invalid("there is nothing to count")
    try:
        where = {"project": caller.project, "environment": caller.environment}
        rendered = await asked.models.render(asked.model, request.messages, **where)
    except Invalid:  # it runs elsewhere, and its provider does not count
        found = estimated_input(
            Call(operation="count_tokens", model=asked.model, caller=caller, span=asked.span, started=0.0, request=request)
        )
        return {"input_tokens": found, "tidemill": {"estimated": True}}
    return {"input_tokens": len(rendered.tokens), "tidemill": {"estimated": False}}


COUNT_TOKENS: Final = Task(
    operation="count_tokens",
    dialect="anthropic.count_tokens",
    span="other",
    read=_read,
    here=dict.fromkeys(("chain", "agent", "prompt"), _count),
    otherwise=_count,
    errors=_Errors(),
)
