"""The pieces of a streamed answer, put together into the whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.core.chat import ChatDelta, ChatResponse, FinishReason, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.parts import Message, Part, Text, ToolCall


@dataclass(kw_only=True, slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(kw_only=True, slots=True)
class Assembly:
    """Collects deltas. `response` may be asked for at any time, also of an answer that broke off."""

    _text: list[str] = field(default_factory=list[str])
    _calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    _logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    _usage: Usage = field(default_factory=Usage)
    _model: str = ""
    _fingerprint: str | None = None
    finish_reason: FinishReason | None = None

    def add(self, delta: ChatDelta) -> None:
        """Take the next piece."""
        if delta.text:
            self._text.append(delta.text)
        if delta.tool_call is not None:
            self._add_call(delta.tool_call)
        if delta.logprobs:
            self._logprobs.extend(delta.logprobs)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self._usage = delta.usage or self._usage
        self._model = delta.model or self._model
        self._fingerprint = delta.fingerprint or self._fingerprint

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self._calls.setdefault(piece.index, _Call())
        call.id = piece.id or call.id
        call.name = piece.name or call.name
        call.arguments.append(piece.arguments)

    def response(self) -> ChatResponse:
        """The answer so far; `finish_reason` is `error` when it has not ended."""
        parts: list[Part] = [Text(text="".join(self._text))] if self._text or not self._calls else []
        parts += [
            ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments)) for _, call in sorted(self._calls.items())
        ]
        return ChatResponse(
            message=Message(role="assistant", parts=tuple(parts)),
            finish_reason=self.finish_reason or "error",
            usage=self._usage,
            model=self._model,
            fingerprint=self._fingerprint,
            logprobs=tuple(self._logprobs),
        )
