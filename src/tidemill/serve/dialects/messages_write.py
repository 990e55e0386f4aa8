"""Answers of `/v1/messages`: a whole message, and the events of a stream in the order that clients rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import orjson

from tidemill.core.chat import ChatDelta, FinishReason, ToolCallDelta, Usage
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.parts import Other, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.dialects.events import named_event
from tidemill.serve.dialects.extension import extension_of, parts_of, said_of
from tidemill.serve.dialects.fields import objects
from tidemill.serve.dialects.messages_blocks import NAME
from tidemill.serve.problems import Refusal as Refused

_Kind: TypeAlias = Literal["text", "thinking", "tool_use"]
_STOP: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal", "error": "end_turn",
}  # fmt: skip
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOPPED: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_FRESH: Final[Mapping[_Kind, JsonObject]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class MessagesWriter:
    """Writes one answer. Only the first of several choices has a place in this dialect."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._index = -1
        self._open: _Kind | None = None
        self._calls: dict[int, int] = {}
        self._prefix = b""

    def whole(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        return {
            **self._start(answer.usage),
            "content": _blocks(parts_of(answer)),
            **_stop(answer),
            "tidemill": extension_of(self._head, answer),
        }

    def begin(self) -> bytes:
        """`message_start`; the tokens of the input are not known yet."""
        message: JsonObject = {**self._start(Usage()), "content": [], "stop_reason": None, "stop_sequence": None}
        return named_event({"type": "message_start", "message": message})

    def piece(self, delta: ChatDelta) -> bytes:
        """The events for one delta, with what opens and closes the block that it belongs to."""
        if delta.choice:
            return b""
        events = b""
        if delta.reasoning:
            events += self._enter("thinking") + self._delta("thinking_delta", "thinking", delta.reasoning)
        if delta.signature is not None:
            events += self._enter("thinking") + self._delta("signature_delta", "signature", delta.signature)
        if said := delta.text or delta.refusal:
            events += self._enter("text") + self._text(said)
        if delta.tool_call is not None:
            events += self._call(delta.tool_call)
        if delta.extra is not None and self._open == "text":
            for each in objects(said_of(delta.extra, NAME).get("citations"), where="citations"):
                events += self._cited(each[1])
        if delta.part is not None and (block := _block(delta.part)) is not None:
            events += self._close() + self._begin_block(block) + self._stop_block()
        return events

    def end(self, answer: Answer) -> bytes:
        """`message_delta` with the reason, and all that was used; then `message_stop`."""
        events = self._enter("text") if self._index < 0 else b""
        last: JsonObject = {
            "type": "message_delta",
            "delta": _stop(answer),
            "usage": _usage(answer.usage),
            "tidemill": extension_of(self._head, answer),
        }
        return events + self._close() + named_event(last) + _STOPPED

    def broken(self, refusal: Refused) -> bytes:
        """An `error` event, after which nothing comes."""
        return named_event(refusal.body)

    def _start(self, usage: Usage) -> dict[str, Json]:
        return {
            "id": f"msg_{self._head.id}",
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "usage": _usage(usage),
        }

    def _enter(self, kind: _Kind) -> bytes:
        if self._open == kind:
            return b""
        events = self._close() + self._begin_block(_FRESH[kind])
        self._open = kind
        self._prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
            % self._index
        )
        return events

    def _begin_block(self, block: JsonObject) -> bytes:
        self._index += 1
        begun = named_event({"type": "content_block_start", "index": self._index, "content_block": block})
        return begun if self._index else begun + _PING

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return self._stop_block()

    def _stop_block(self) -> bytes:
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index

    def _text(self, text: str) -> bytes:
        return self._prefix + orjson.dumps(text) + b"}}\n\n"

    def _delta(self, kind: str, name: str, value: str, *, index: int | None = None) -> bytes:
        at = self._index if index is None else index
        return named_event({"type": "content_block_delta", "index": at, "delta": {"type": kind, name: value}})

    def _cited(self, citation: JsonObject) -> bytes:
        delta: JsonObject = {"type": "citations_delta", "citation": citation}
        return named_event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _call(self, call: ToolCallDelta) -> bytes:
        events = b""
        if call.index not in self._calls:
            events = self._close() + self._begin_block(
                {"type": "tool_use", "id": call.id or f"toolu_{self._index + 1}", "name": call.name or "", "input": {}}
            )
            self._calls[call.index] = self._index
            self._open = "tool_use"
        if call.arguments:
            events += self._delta("input_json_delta", "partial_json", call.arguments, index=self._calls[call.index])
        return events


def _blocks(parts: Sequence[Part]) -> list[Json]:
    return [block for part in parts if (block := _block(part)) is not None] or [{"type": "text", "text": ""}]


def _block(part: Part) -> JsonObject | None:
    """A part of an answer as a block; None for what the dialect has no block for."""
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text, **said_of(part.extra, NAME)}
        case Reasoning(data=str()) if not part.text:
            return {"type": "redacted_thinking", "data": part.data}
        case Reasoning():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case ToolCall():
            said = said_of(part.extra, NAME)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": _input(part), **said}
        case Other(dialect="anthropic.messages"):
            return part.value
        case _:
            return None


def _input(call: ToolCall) -> JsonObject:
    """The arguments as an object; what a model wrote that is none is handed on under a name of its own."""
    try:
        value = parse_json(call.arguments or "{}", what="arguments")
    except Invalid:
        return {"invalid_json": call.arguments}
    return value if isinstance(value, Mapping) else {"value": value}


def _stop(answer: Answer) -> JsonObject:
    said = said_of(answer.extra, NAME)
    reason = said.get("stop_reason") or _STOP[answer.finish_reason]
    more = {name: said[name] for name in ("stop_details", "container") if name in said}
    return {"stop_reason": reason, "stop_sequence": said.get("stop_sequence"), **more}


def _usage(usage: Usage) -> JsonObject:
    """What was read from and written to the cache counts apart from the input here; some servers say of one token both."""
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    shown: dict[str, Json] = {
        "input_tokens": usage.input_tokens - cached - written,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
    }
    if usage.reasoning_tokens:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return shown
