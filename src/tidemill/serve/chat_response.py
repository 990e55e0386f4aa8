"""Answers in the wire format: a whole completion, and the chunks of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidemill.core.chat import ChatDelta, Choice, FinishReason, TokenLogprob, Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Part, ToolCall


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an application answered. `cost` is in US dollars; `citations` are the passages that it had before it.

    `parts` are the whole of a model's message, `others` the answers after the first where `n` asked for several, and `extra`
    what else its provider said; an application has text alone.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    fingerprint: str | None = None
    citations: Sequence[JsonObject] = ()
    parts: tuple[Part, ...] = ()
    others: tuple[Choice, ...] = ()
    extra: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What every piece of one answer carries. `created` is in seconds since the epoch."""

    id: str
    trace: str
    model: str
    release: str
    created: int

    def completion(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        message: dict[str, Json] = {"role": "assistant", "content": answer.text or (None if answer.tool_calls else "")}
        if answer.tool_calls:
            message["tool_calls"] = [_tool_call(each) for each in answer.tool_calls]
        logprobs = {"content": _logprobs(answer.logprobs)} if answer.logprobs else None
        choice: dict[str, Json] = {
            "index": 0, "message": message, "logprobs": logprobs, "finish_reason": _finish(answer.finish_reason),
        }  # fmt: skip
        return {
            **self._head("chat.completion", answer.fingerprint),
            "choices": [choice],
            "usage": usage_json(answer.usage),
            "tidemill": self.extension(answer),
        }

    def first_chunk(self) -> JsonObject:
        """The chunk that opens a stream: the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def delta_chunk(self, delta: ChatDelta) -> JsonObject | None:
        """The chunk for a piece of the answer; None for a piece that shows nothing."""
        shown: dict[str, Json] = {}
        if delta.text:
            shown["content"] = delta.text
        if delta.tool_call is not None:
            call = delta.tool_call
            function: dict[str, Json] = {"arguments": call.arguments}
            opening: dict[str, Json] = {}
            if call.name is not None:
                function = {"name": call.name, **function}
                opening = {"id": call.id, "type": "function"}
            shown["tool_calls"] = [{"index": call.index, **opening, "function": function}]
        if not shown and not delta.logprobs:
            return None
        return self._chunk(shown, logprobs=delta.logprobs)

    def last_chunk(self, answer: Answer, *, extended: bool) -> JsonObject:
        """The chunk with the finish reason; with `extended`, also what only we add."""
        chunk = self._chunk({}, finish=answer.finish_reason)
        return {**chunk, "tidemill": self.extension(answer)} if extended else chunk

    def usage_chunk(self, answer: Answer) -> JsonObject:
        """The chunk after the last, for those who asked for usage."""
        head = self._head("chat.completion.chunk", None)
        return {**head, "choices": [], "usage": usage_json(answer.usage), "tidemill": self.extension(answer)}

    def extension(self, answer: Answer) -> JsonObject:
        """What only we add: the release, the trace, the cost, the citations."""
        return {"release": self.release, "trace": self.trace, "cost": answer.cost, "citations": list(answer.citations)}

    def _head(self, kind: str, fingerprint: str | None) -> dict[str, Json]:
        head: dict[str, Json] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "system_fingerprint": fingerprint} if fingerprint else head

    def _chunk(
        self, delta: JsonObject, *, finish: FinishReason | None = None, logprobs: Sequence[TokenLogprob] = ()
    ) -> dict[str, Json]:
        choice: dict[str, Json] = {"index": 0, "delta": delta, "finish_reason": None if finish is None else _finish(finish)}
        if logprobs:
            choice["logprobs"] = {"content": _logprobs(logprobs)}
        return {**self._head("chat.completion.chunk", None), "choices": [choice]}


def usage_json(usage: Usage) -> JsonObject:
    """Tokens, as clients read them."""
    shown: dict[str, Json] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return shown


def _finish(reason: FinishReason) -> str:
    return "stop" if reason == "error" else reason


def _tool_call(call: ToolCall) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _logprobs(logprobs: Sequence[TokenLogprob]) -> list[Json]:
    def entry(token: str, logprob: float) -> dict[str, Json]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}

    return [
        {**entry(each.token, each.logprob), "top_logprobs": [entry(token, value) for token, value in each.top]}
        for each in logprobs
    ]
