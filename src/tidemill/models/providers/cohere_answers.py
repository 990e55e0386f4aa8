"""Answers in Cohere's words, read as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidemill.core.chat import ChatDelta, ChatResponse, Connection, FinishReason, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, Reasoning, Text, ToolCall
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import unit_object
from tidemill.models.providers.cohere_requests import NAME
from tidemill.models.reading import as_text, child, children, count, number, text
from tidemill.models.refusals import refusal

_FINISH: Final[Mapping[str, FinishReason]] = {
    "COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls", "ERROR": "error",
    "ERROR_LIMIT": "length", "ERROR_TOXIC": "content_filter", "TIMEOUT": "error", "USER_CANCEL": "error",
}  # fmt: skip
_PLAN: Final[JsonObject] = {NAME: {"tool_plan": True}}


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole answer. Raises `Unavailable` when it is none."""
    message = child(answer, "message")
    if not message:
        raise Unavailable("cohere answered without a message", where=f"connection/{connection.name}", kind="server")
    parts: list[Part] = []
    if plan := text(message, "tool_plan"):
        parts.append(Reasoning(text=plan, extra=_PLAN))
    for block in children(message, "content"):
        if block.get("type") == "thinking":
            parts.append(Reasoning(text=text(block, "thinking")))
        elif text(block, "text"):
            parts.append(Text(text=text(block, "text")))
    for call in children(message, "tool_calls"):
        function = child(call, "function")
        arguments = as_text(function.get("arguments"))
        parts.append(ToolCall(id=text(call, "id"), name=text(function, "name"), arguments=arguments))
    cited: JsonObject = {"citations": message["citations"]} if message.get("citations") else {}
    return ChatResponse(
        message=Message(role="assistant", parts=tuple(parts) or (Text(text=""),)),
        finish_reason=_FINISH.get(text(answer, "finish_reason"), "stop"),
        usage=read_usage(child(answer, "usage")),
        logprobs=_logprobs(answer),
        extra={NAME: cited} if cited else {},
    )


def read_usage(usage: JsonObject) -> Usage:
    """The tokens that the model read and wrote; Cohere's own instructions among them, which it does not bill."""
    tokens = child(usage, "tokens") or child(usage, "billed_units")
    return Usage(
        input_tokens=count(tokens, "input_tokens"),
        output_tokens=count(tokens, "output_tokens"),
        cached_tokens=count(usage, "cached_tokens"),
    )


def _logprobs(answer: JsonObject) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(token=text(each, "text"), logprob=number({"value": value}, "value"))
        for each in children(answer, "logprobs")
        for value in _numbers(each.get("logprobs"))[:1]
    )


def _numbers(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else []


class EventReader:
    """Reads the events of `/v2/chat`."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        self._cited: list[Json] = []

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """The pieces of one event. Raises `Unavailable` for half an event."""
        if unit.data.strip() == "[DONE]":
            return
        event = unit_object(unit.data, early=self._early())
        delta = child(event, "delta")
        message = child(delta, "message")
        match event.get("type"):
            case "content-start" | "content-delta":
                content = child(message, "content")
                if thought := text(content, "thinking"):
                    yield ChatDelta(reasoning=thought)
                if said := text(content, "text"):
                    yield ChatDelta(text=said)
            case "tool-plan-delta":
                if plan := text(message, "tool_plan"):
                    yield ChatDelta(reasoning=plan)
            case "tool-call-start" | "tool-call-delta":
                yield ChatDelta(tool_call=_piece(count(event, "index"), child(message, "tool_calls")))
            case "citation-start":
                self._cited.append(message.get("citations"))
            case "message-end":
                self._end(delta)
            case _:
                pass

    def _end(self, delta: JsonObject) -> None:
        if delta.get("error"):
            raise refusal(500, as_text(delta), provider="cohere", connection=self._connection.name)
        self._finish = _FINISH.get(text(delta, "finish_reason"), "stop")
        self._usage = read_usage(child(delta, "usage"))
        self.ended = True

    def ending(self) -> Iterator[ChatDelta]:
        """The last piece. Raises `Unavailable` when the stream stopped before the model did."""
        if self._finish is None:
            raise self._early()
        extra: JsonObject | None = {NAME: {"citations": self._cited}} if self._cited else None
        yield ChatDelta(finish_reason=self._finish, usage=self._usage, extra=extra)

    def _early(self) -> Unavailable:
        return Unavailable("cohere: the stream ended early", where=f"connection/{self._connection.name}", kind="connection")


def _piece(index: int, call: JsonObject) -> ToolCallDelta:
    function = child(call, "function")
    return ToolCallDelta(
        index=index,
        id=text(call, "id") or None,
        name=text(function, "name") or None,
        arguments=text(function, "arguments"),
    )
