"""A whole answer, given as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidemill.core.chat import ChatDelta, ChatResponse, Choice, ToolCallDelta
from tidemill.core.parts import Reasoning, Refusal, Text, ToolCall

_PIECE: Final = 256  # characters


def replayed(response: ChatResponse) -> Iterator[ChatDelta]:
    """The pieces of an answer; put together they give it again. The last carries its usage."""
    first = Choice(
        index=0,
        message=response.message,
        finish_reason=response.finish_reason,
        logprobs=response.logprobs,
    )
    yield ChatDelta(model=response.model or None, fingerprint=response.fingerprint, extra=response.extra or None)
    others = response.others
    for choice in (first, *others):
        yield from _choice(choice)
        is_last = choice is (others[-1] if others else first)
        yield ChatDelta(choice=choice.index, finish_reason=choice.finish_reason, usage=response.usage if is_last else None)


def _choice(choice: Choice) -> Iterator[ChatDelta]:
    index, calls, logprobs = choice.index, 0, choice.logprobs
    for part in choice.message.parts:
        if isinstance(part, Text) and not part.extra:
            for start in range(0, len(part.text), _PIECE):
                yield ChatDelta(choice=index, text=part.text[start : start + _PIECE], logprobs=logprobs)
                logprobs = ()
        elif isinstance(part, Reasoning) and part.data is None:
            yield ChatDelta(choice=index, reasoning=part.text, signature=part.signature)
        elif isinstance(part, Refusal):
            yield ChatDelta(choice=index, refusal=part.text)
        elif isinstance(part, ToolCall):
            call = ToolCallDelta(index=calls, id=part.id, name=part.name, arguments=part.arguments)
            calls += 1
            yield ChatDelta(choice=index, tool_call=call)
        else:
            yield ChatDelta(choice=index, part=part)
    if logprobs:
        yield ChatDelta(choice=index, logprobs=logprobs)
