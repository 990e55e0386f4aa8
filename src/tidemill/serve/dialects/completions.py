"""The dialect of `/v1/completions`.

https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.core.chat import ChatDelta, Dialect, FinishReason, TokenLogprob
from tidemill.core.errors import TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.chat_response import Answer, usage_json
from tidemill.serve.dialects.completions_read import NAME, read_completions_call
from tidemill.serve.dialects.dialect import Head, Writer
from tidemill.serve.dialects.events import DONE, event
from tidemill.serve.dialects.extension import extension_of
from tidemill.serve.problems import Refusal, refusal_of, refusal_of_crash


class CompletionsWriter:
    """Writes one completion, or its chunks. There is no place for tool calls, thoughts or pictures in this dialect."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head = head
        self._offset = 0

    def whole(self, answer: Answer) -> JsonObject:
        """The body of a response that is not streamed."""
        choices = [_choice(0, answer.text, answer.finish_reason, _logprobs(answer.logprobs, 0))]
        choices += [
            _choice(each.index, each.message.text, each.finish_reason, _logprobs(each.logprobs, 0)) for each in answer.others
        ]
        return self._body(choices, usage=usage_json(answer.usage), tidemill=extension_of(self._head, answer))

    def begin(self) -> bytes:
        """Nothing opens a stream here."""
        return b""

    def piece(self, delta: ChatDelta) -> bytes:
        """The chunk for one delta, if it holds text."""
        said = delta.text or delta.refusal
        if not said and not delta.logprobs:
            return b""
        logprobs = _logprobs(delta.logprobs, self._offset)
        self._offset += len(said)
        return event(self._body([_choice(delta.choice, said, None, logprobs)]))

    def end(self, answer: Answer) -> bytes:
        """The chunks with the reasons, the one with the usage where it was asked for, and the marker that clients wait for."""
        ends = [_choice(0, "", answer.finish_reason, None)]
        ends += [_choice(each.index, "", each.finish_reason, None) for each in answer.others]
        extended = {"tidemill": extension_of(self._head, answer)}
        events = event(self._body(ends, **({} if self._include_usage else extended)))
        if self._include_usage:
            events += event(self._body([], usage=usage_json(answer.usage), **extended))
        return events + DONE

    def broken(self, refusal: Refusal) -> bytes:
        """The error as the last event."""
        return event(refusal.body) + DONE

    def _body(self, choices: Sequence[Json], **more: Json) -> JsonObject:
        head = self._head
        return {
            "id": f"cmpl-{head.id}", "object": "text_completion", "created": head.created, "model": head.model,
            "choices": choices, **more,
        }  # fmt: skip


class Completions:
    """Reads and writes completions."""

    name: Dialect = NAME

    def read(self, body: JsonObject) -> ChatCall:
        """Parse a request's body. Raises `Invalid` with the place in it."""
        return read_completions_call(body)

    def writer(self, head: Head, call: ChatCall) -> Writer:
        """What writes the answer to this request."""
        return CompletionsWriter(head, include_usage=call.include_usage)

    def refusal(self, error: TidemillError) -> Refusal:
        """An error in the dialect's own shape."""
        return refusal_of(error)

    def crash(self, *, trace: str | None) -> Refusal:
        """The answer for a fault of ours."""
        return refusal_of_crash(trace=trace)


def _choice(index: int, text: str, finish: FinishReason | None, logprobs: Json) -> JsonObject:
    reason = "stop" if finish in {"tool_calls", "error"} else finish
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(logprobs: Sequence[TokenLogprob], offset: int) -> Json:
    """Log probabilities in columns, as this dialect has them; `offset` is where the first token begins, in characters."""
    if not logprobs:
        return None
    offsets: list[Json] = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "tokens": [each.token for each in logprobs],
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": [dict(each.top) for each in logprobs],
        "text_offset": offsets,
    }
