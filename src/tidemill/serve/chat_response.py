"""Answers in the wire format: a whole completion, and the chunks of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tidemill.core.chat import ChatDelta, Choice, FinishReason, TokenLogprob, Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, Image, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.serve.chat_parts import NAME

_OURS: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "tidemill"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an application answered. `cost` is in US dollars; `citations` are the passages that it had before it.

    `parts` are the whole of a model's message and `beside` what only its dialect says of it, `others` the answers after the
    first where `n` asked for several, and `extra` what else its provider said; an application has text alone. `guardrails` says
    what each did, by name.
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
    beside: JsonObject = field(default_factory=dict[str, Json])
    guardrails: Mapping[str, str] = field(default_factory=dict[str, str])


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every piece of one answer carries. `created` is in seconds since the epoch."""

    id: str
    trace: str
    model: str
    release: str
    created: int

    def completion(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        parts = answer.parts or (Text(text=answer.text), *answer.tool_calls)
        first = _choice(0, parts, answer.beside, answer.finish_reason, answer.logprobs)
        others = [
            _choice(each.index, each.message.parts, each.message.extra, each.finish_reason, each.logprobs)
            for each in answer.others
        ]
        return {
            **self._head("chat.completion", answer.fingerprint),
            "choices": [first, *others],
            "usage": usage_json(answer.usage),
            **_said(answer.extra),
            "tidemill": self.extension(answer),
        }

    def first_chunk(self, choice: int = 0) -> JsonObject:
        """The chunk that opens an answer: the role."""
        return self._chunk({"role": "assistant", "content": ""}, choice=choice)

    def delta_chunk(self, delta: ChatDelta) -> JsonObject | None:
        """The chunk for a piece of the answer; None for a piece that shows nothing."""
        shown: dict[str, Json] = {}
        if delta.text:
            shown["content"] = delta.text
        if delta.reasoning:
            shown["reasoning_content"] = delta.reasoning
        if delta.refusal:
            shown["refusal"] = delta.refusal
        if delta.tool_call is not None:
            call = delta.tool_call
            function: dict[str, Json] = {"arguments": call.arguments}
            opening: dict[str, Json] = {}
            if call.name is not None:
                function = {"name": call.name, **function}
                opening = {"id": call.id, "type": "function"}
            shown["tool_calls"] = [{"index": call.index, **opening, "function": function}]
        if delta.audio is not None:
            piece = delta.audio
            spoken = {"id": piece.id, "data": piece.data, "transcript": piece.transcript, "expires_at": piece.expires}
            shown["audio"] = {name: value for name, value in spoken.items() if value}
        if isinstance(delta.part, Image):
            shown["images"] = [_image(delta.part)]
        finish = delta.finish_reason if delta.choice else None
        if not shown and not delta.logprobs and finish is None:
            return None
        return self._chunk(shown, choice=delta.choice, logprobs=delta.logprobs, finish=finish)

    def last_chunk(self, answer: Answer, *, extended: bool) -> JsonObject:
        """The chunk with the finish reason; with `extended`, also what only we add."""
        chunk = {**self._chunk({}, finish=answer.finish_reason), **_said(answer.extra)}
        return {**chunk, "tidemill": self.extension(answer)} if extended else chunk

    def usage_chunk(self, answer: Answer) -> JsonObject:
        """The chunk after the last, for those who asked for usage."""
        head = self._head("chat.completion.chunk", None)
        return {**head, "choices": [], "usage": usage_json(answer.usage), "tidemill": self.extension(answer)}

    def extension(self, answer: Answer) -> JsonObject:
        """What only we add: the release, the trace, the cost, the citations, what guardrails did."""
        shown = {"release": self.release, "trace": self.trace, "cost": answer.cost, "citations": list(answer.citations)}
        return {**shown, "guardrails": dict(answer.guardrails)} if answer.guardrails else shown

    def _head(self, kind: str, fingerprint: str | None) -> dict[str, Json]:
        head: dict[str, Json] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "system_fingerprint": fingerprint} if fingerprint else head

    def _chunk(
        self,
        delta: JsonObject,
        *,
        choice: int = 0,
        finish: FinishReason | None = None,
        logprobs: Sequence[TokenLogprob] = (),
    ) -> dict[str, Json]:
        reason = None if finish is None else _finish(finish)
        made: dict[str, Json] = {"index": choice, "delta": delta, "finish_reason": reason}
        if logprobs:
            made["logprobs"] = {"content": _logprobs(logprobs)}
        return {**self._head("chat.completion.chunk", None), "choices": [made]}


def usage_json(usage: Usage) -> JsonObject:
    """Tokens, as clients read them; what the parts of them were, where there is something to say."""
    shown: dict[str, Json] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens or usage.cache_write_tokens or usage.audio_input_tokens:
        shown["prompt_tokens_details"] = _details(
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            audio_tokens=usage.audio_input_tokens,
        )
    if usage.reasoning_tokens or usage.audio_output_tokens:
        shown["completion_tokens_details"] = _details(
            reasoning_tokens=usage.reasoning_tokens, audio_tokens=usage.audio_output_tokens
        )
    return shown


def _details(**counted: int) -> JsonObject:
    return {name: value for name, value in counted.items() if value}


def _choice(
    index: int, parts: Sequence[Part], beside: JsonObject, finish: FinishReason, logprobs: Sequence[TokenLogprob]
) -> JsonObject:
    return {
        "index": index,
        "message": {**_message(parts), **_of_dialect(beside)},
        "logprobs": {"content": _logprobs(logprobs)} if logprobs else None,
        "finish_reason": _finish(finish),
    }


def _message(parts: Sequence[Part]) -> dict[str, Json]:
    """A message of the assistant: its text, and each other thing in a field of its own."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    more: dict[str, Json] = {}
    if thought := "".join(part.text for part in parts if isinstance(part, Reasoning)):
        more["reasoning_content"] = thought
    if refused := "".join(part.text for part in parts if isinstance(part, Refusal)):
        more["refusal"] = refused
    for part in parts:
        if isinstance(part, Audio):
            more["audio"] = {**_of_dialect(part.extra), "data": part.data}
    if images := [_image(part) for part in parts if isinstance(part, Image)]:
        more["images"] = images
    if calls := [_tool_call(part) for part in parts if isinstance(part, ToolCall)]:
        more["tool_calls"] = calls
    has_more = more.keys() - {"reasoning_content"}
    return {"role": "assistant", "content": text or (None if has_more else ""), **more}


def _said(extra: JsonObject) -> JsonObject:
    """What else a provider of this dialect said of its answer, but for what we say ourselves."""
    return {name: value for name, value in _of_dialect(extra).items() if name not in _OURS} if extra else {}


def _of_dialect(extra: JsonObject) -> JsonObject:
    found = extra.get(NAME) if extra else None
    return found if isinstance(found, Mapping) else {}


def _finish(reason: FinishReason) -> str:
    return "stop" if reason == "error" else reason


def _image(part: Image) -> JsonObject:
    url = part.url if part.url is not None else f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool_call(call: ToolCall) -> JsonObject:
    if _of_dialect(call.extra).get("type") == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _logprobs(logprobs: Sequence[TokenLogprob]) -> list[Json]:
    def entry(token: str, logprob: float, data: bytes | None) -> dict[str, Json]:
        shown = token.encode("utf-8", "surrogatepass") if data is None else data
        return {"token": token, "logprob": logprob, "bytes": list(shown)}

    return [
        {
            **entry(each.token, each.logprob, each.data),
            "top_logprobs": [
                entry(token, value, each.top_data[place] if each.top_data else None)
                for place, (token, value) in enumerate(each.top)
            ],
        }
        for each in logprobs
    ]
