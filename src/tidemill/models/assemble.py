"""The pieces of a streamed answer, put together into the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from tidemill.core.chat import (
    AudioDelta,
    ChatDelta,
    ChatResponse,
    Choice,
    FinishReason,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, Message, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.models.believable import believable


@dataclass(kw_only=True, slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(kw_only=True, slots=True)
class _Thought:
    text: list[str] = field(default_factory=list[str])
    signature: str | None = None


@dataclass(kw_only=True, slots=True)
class _Words:
    text: list[str] = field(default_factory=list[str])
    refusal: bool = False


@dataclass(kw_only=True, slots=True)
class _Sound:
    data: list[str] = field(default_factory=list[str])
    transcript: list[str] = field(default_factory=list[str])
    id: str | None = None
    expires: int | None = None


class _Answer:
    """One of the answers. Its parts stand in the order in which they began; the text is one part unless a part came between."""

    __slots__ = ("_calls", "_parts", "_sound", "_words", "finish_reason", "logprobs")

    def __init__(self) -> None:
        self._parts: list[_Call | _Thought | _Words | _Sound | Part] = []
        self._calls: dict[int, _Call] = {}
        self._words: _Words | None = None
        self._sound: _Sound | None = None
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: FinishReason | None = None

    def add(self, delta: ChatDelta) -> None:
        if delta.reasoning or delta.signature:
            self._think(delta)
        if delta.text:
            self._say(delta.text, refusal=False)
        if delta.refusal:
            self._say(delta.refusal, refusal=True)
        if delta.tool_call is not None:
            self._call(delta.tool_call)
        if delta.audio is not None:
            self._sing(delta.audio)
        if delta.part is not None:
            self._parts.append(delta.part)
            self._words = None
        if delta.logprobs:
            self.logprobs.extend(delta.logprobs)
        self.finish_reason = delta.finish_reason or self.finish_reason

    def _say(self, text: str, *, refusal: bool) -> None:
        words = self._words
        if words is None or words.refusal != refusal:
            words = self._words = _Words(refusal=refusal)
            self._parts.append(words)
        words.text.append(text)

    def _think(self, delta: ChatDelta) -> None:
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, _Thought) or (last.signature is not None and delta.reasoning):
            last = _Thought()
            self._parts.append(last)
            self._words = None
        last.text.append(delta.reasoning)
        last.signature = delta.signature or last.signature

    def _call(self, piece: ToolCallDelta) -> None:
        call = self._calls.get(piece.index)
        if call is None:
            call = self._calls[piece.index] = _Call()
            self._parts.append(call)
        call.id = piece.id or call.id
        call.name = piece.name or call.name
        call.arguments.append(piece.arguments)

    def _sing(self, piece: AudioDelta) -> None:
        if self._sound is None:
            self._sound = _Sound()
            self._parts.append(self._sound)
        self._sound.data.append(piece.data)
        self._sound.transcript.append(piece.transcript)
        self._sound.id = piece.id or self._sound.id
        self._sound.expires = piece.expires or self._sound.expires

    def message(self) -> Message:
        parts = tuple(_finished(each) for each in self._parts)
        return Message(role="assistant", parts=parts or (Text(text=""),))


@dataclass(kw_only=True, slots=True)
class Assembly:
    """Collects deltas. `response` may be asked for at any time, also of an answer that broke off."""

    _first: _Answer = field(default_factory=_Answer)
    _others: dict[int, _Answer] = field(default_factory=dict[int, _Answer])
    _usage: Usage = field(default_factory=Usage)
    _model: str = ""
    _fingerprint: str | None = None
    _extra: dict[str, Json] = field(default_factory=dict[str, Json])

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first answer ended; None when it has not."""
        return self._first.finish_reason

    def add(self, delta: ChatDelta) -> None:
        """Take the next piece."""
        answer = self._first if not delta.choice else self._others.setdefault(delta.choice, _Answer())
        answer.add(delta)
        if delta.usage is not None:
            self._usage = believable(delta.usage)
        if delta.model:
            self._model = delta.model
        if delta.fingerprint:
            self._fingerprint = delta.fingerprint
        if delta.extra:
            self._note(delta.extra)

    def _note(self, extra: JsonObject) -> None:
        for dialect, fields in extra.items():
            if isinstance(fields, Mapping):
                self._extra[dialect] = {**cast("JsonObject", self._extra.get(dialect, {})), **fields}

    def response(self) -> ChatResponse:
        """The answer so far; `finish_reason` is `error` when it has not ended."""
        return ChatResponse(
            message=self._first.message(),
            finish_reason=self._first.finish_reason or "error",
            usage=self._usage,
            model=self._model,
            fingerprint=self._fingerprint,
            logprobs=tuple(self._first.logprobs),
            others=tuple(
                Choice(
                    index=index,
                    message=each.message(),
                    finish_reason=each.finish_reason or "error",
                    logprobs=tuple(each.logprobs),
                )
                for index, each in sorted(self._others.items())
            ),
            extra=self._extra,
        )


def _finished(part: _Call | _Thought | _Words | _Sound | Part) -> Part:
    if isinstance(part, _Words):
        text = "".join(part.text)
        return Refusal(text=text) if part.refusal else Text(text=text)
    if isinstance(part, _Call):
        return ToolCall(id=part.id, name=part.name, arguments="".join(part.arguments))
    if isinstance(part, _Thought):
        return Reasoning(text="".join(part.text), signature=part.signature)
    if isinstance(part, _Sound):
        said: dict[str, Json] = {"id": part.id, "transcript": "".join(part.transcript), "expires_at": part.expires}
        return Audio(media_type="audio/pcm", data="".join(part.data), extra={"openai.chat": said})
    return part
