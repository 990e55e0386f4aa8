"""Answers of `/v1/responses`: a whole response, and the numbered events of a stream in the order that clients rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidemill.core.chat import ChatDelta, TokenLogprob, ToolCallDelta
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Other, Part, Reasoning
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.dialects.events import named_event
from tidemill.serve.dialects.extension import parts_of
from tidemill.serve.dialects.responses_body import (
    call_item,
    failed,
    finished,
    in_progress,
    items_of,
    logprobs_json,
    message_item,
    reasoning_item,
    skeleton,
    text_part,
)
from tidemill.serve.problems import Refusal

_PREFIX: Final[Mapping[str, str]] = {"call": "fc", "reasoning": "rs"}


@dataclass(slots=True, kw_only=True)
class _Item:
    """An item that is being written. `kind` is that of its part: text, refusal, reasoning or call."""

    kind: str
    index: int
    id: str
    said: list[str] = field(default_factory=list[str])
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    signature: str | None = None
    call: str = ""
    name: str = ""

    @property
    def whole(self) -> str:
        return "".join(self.said)

    @property
    def place(self) -> JsonObject:
        return {"item_id": self.id, "output_index": self.index}

    def part(self, text: str) -> JsonObject:
        """The one part of a message."""
        return {"type": "refusal", "refusal": text} if self.kind == "refusal" else text_part(text, self.logprobs)

    def to_json(self, *, done: bool) -> JsonObject:
        """The item as it stands."""
        status = "completed" if done else "in_progress"
        if self.kind == "call":
            return call_item(self.id, self.call, self.name, self.whole, status=status)
        if self.kind == "reasoning":
            return reasoning_item(self.id, Reasoning(text=self.whole, signature=self.signature))
        return message_item(self.id, (self.part(self.whole),) if done else (), status=status)


class ResponsesWriter:
    """Writes one answer. Only the first of several choices has a place in this dialect."""

    def __init__(self, head: Head, body: JsonObject) -> None:
        self._head = head
        self._skeleton = skeleton(head, body)
        self._number = 0
        self._items: list[_Item | JsonObject] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def whole(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        return finished(self._head, self._skeleton, answer, items_of(self._head, parts_of(answer), answer.logprobs))

    def begin(self) -> bytes:
        """`response.created` and `response.in_progress`."""
        now = in_progress(self._skeleton)
        return self._event("created", response=now) + self._event("in_progress", response=now)

    def piece(self, delta: ChatDelta) -> bytes:
        """The events for one delta, with what opens and closes the item that it belongs to."""
        if delta.choice:
            return b""
        events = b""
        if delta.reasoning:
            events += self._say("reasoning", delta.reasoning)
        if delta.signature is not None:
            thought, opened = self._enter("reasoning")
            thought.signature = delta.signature
            events += opened
        if delta.text:
            events += self._say("text", delta.text, delta.logprobs)
        if delta.refusal:
            events += self._say("refusal", delta.refusal)
        if delta.tool_call is not None:
            events += self._call(delta.tool_call)
        if delta.part is not None:
            events += self._part(delta.part)
        return events

    def end(self, answer: Answer) -> bytes:
        """What closes the last item, then `response.completed`, or `response.incomplete` for an answer that was cut short."""
        events = b"" if self._items else self._enter("text")[1]
        events += self._close()
        done = finished(self._head, self._skeleton, answer, self._output())
        return events + self._event("incomplete" if done["status"] == "incomplete" else "completed", response=done)

    def broken(self, refusal: Refusal) -> bytes:
        """`response.failed` with what was said until then, and an `error`, which clients raise."""
        detail = refusal.body["error"]
        error: dict[str, Json] = dict(detail) if isinstance(detail, dict) else {}
        now = failed(self._skeleton, self._output(), code=error.get("code"), message=error.get("message"))
        events = self._event("failed", response=now)
        said = {name: error.get(name) for name in ("code", "message", "param")}
        return events + named_event({"type": "error", "sequence_number": self._next(), **said, "error": error})

    def _output(self) -> Sequence[Json]:
        return [each.to_json(done=True) if isinstance(each, _Item) else each for each in self._items]

    def _next(self) -> int:
        self._number += 1
        return self._number - 1

    def _event(self, kind: str, **fields: Json) -> bytes:
        return named_event({"type": f"response.{kind}", "sequence_number": self._next(), **fields})

    def _enter(self, kind: str) -> tuple[_Item, bytes]:
        """Be within an item of this kind: the open one, or a new one."""
        if self._open is not None and self._open.kind == kind:
            return self._open, b""
        events = self._close()
        item = self._opened(kind)
        events += self._event("output_item.added", output_index=item.index, item=item.to_json(done=False))
        if kind == "reasoning":
            part: JsonObject = {"type": "summary_text", "text": ""}
            return item, events + self._event("reasoning_summary_part.added", **item.place, summary_index=0, part=part)
        return item, events + self._event("content_part.added", **item.place, content_index=0, part=item.part(""))

    def _opened(self, kind: str) -> _Item:
        index = len(self._items)
        item = _Item(kind=kind, index=index, id=f"{_PREFIX.get(kind, 'msg')}_{self._head.id}_{index}")
        self._items.append(item)
        self._open = item
        return item

    def _say(self, kind: str, text: str, logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        item, events = self._enter(kind)
        item.said.append(text)
        if kind == "reasoning":
            return events + self._event("reasoning_summary_text.delta", **item.place, summary_index=0, delta=text)
        if kind == "refusal":
            return events + self._event("refusal.delta", **item.place, content_index=0, delta=text)
        item.logprobs.extend(logprobs)
        shown = logprobs_json(logprobs)
        return events + self._event("output_text.delta", **item.place, content_index=0, delta=text, logprobs=shown)

    def _call(self, piece: ToolCallDelta) -> bytes:
        item = self._calls.get(piece.index)
        events = b""
        if item is None:
            events = self._close()
            item = self._calls[piece.index] = self._opened("call")
            item.call, item.name = piece.id or item.id, piece.name or ""
            events += self._event("output_item.added", output_index=item.index, item=item.to_json(done=False))
        if piece.arguments:
            item.said.append(piece.arguments)
            events += self._event("function_call_arguments.delta", **item.place, delta=piece.arguments)
        return events

    def _part(self, part: Part) -> bytes:
        """A whole part that came at once: a sealed thought, or an item that is this dialect's own."""
        index = len(self._items)
        if isinstance(part, Reasoning):
            item = reasoning_item(f"rs_{self._head.id}_{index}", part)
        elif isinstance(part, Other) and part.dialect == "openai.responses":
            item = part.value
        else:
            return b""
        events = self._close()
        self._items.append(item)
        events += self._event("output_item.added", output_index=index, item=item)
        return events + self._event("output_item.done", output_index=index, item=item)

    def _close(self) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        whole = item.whole
        match item.kind:
            case "call":
                events = self._event("function_call_arguments.done", **item.place, name=item.name, arguments=whole)
            case "reasoning":
                events = self._event("reasoning_summary_text.done", **item.place, summary_index=0, text=whole)
                part: JsonObject = {"type": "summary_text", "text": whole}
                events += self._event("reasoning_summary_part.done", **item.place, summary_index=0, part=part)
            case "refusal":
                events = self._event("refusal.done", **item.place, content_index=0, refusal=whole)
            case _:
                shown = logprobs_json(item.logprobs)
                events = self._event("output_text.done", **item.place, content_index=0, text=whole, logprobs=shown)
        if item.kind in {"text", "refusal"}:
            events += self._event("content_part.done", **item.place, content_index=0, part=item.part(whole))
        return events + self._event("output_item.done", output_index=item.index, item=item.to_json(done=True))
