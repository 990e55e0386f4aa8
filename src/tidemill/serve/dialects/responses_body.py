"""The response object of `/v1/responses`: what was asked, said again, and the items of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.chat import FinishReason, TokenLogprob, Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Other, Part, Reasoning, Refusal, Text, ToolCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.dialects.extension import extension_of, said_of
from tidemill.serve.dialects.responses_items import NAME, SEALED, SIGNATURE

_SAID_AGAIN: Final[Mapping[str, Json]] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "parallel_tool_calls": True, "temperature": None,
    "top_p": None, "tool_choice": "auto", "tools": [], "text": {"format": {"type": "text"}}, "truncation": "disabled",
    "reasoning": {"effort": None, "summary": None}, "service_tier": None, "metadata": {}, "user": None,
    "safety_identifier": None, "prompt_cache_key": None, "top_logprobs": None,
}  # fmt: skip
_CUT_SHORT: Final[Mapping[FinishReason, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def skeleton(head: Head, body: JsonObject) -> JsonObject:
    """What every state of one response has. Answers are not kept, so `store` is false whatever was asked."""
    again = {name: otherwise if body.get(name) is None else body[name] for name, otherwise in _SAID_AGAIN.items()}
    return {
        "id": f"resp_{head.id}",
        "object": "response",
        "created_at": head.created,
        "model": head.model,
        "background": False,
        "previous_response_id": None,
        "store": False,
        **again,
    }


def in_progress(skeleton: JsonObject) -> JsonObject:
    """The response before anything was said."""
    return {
        **skeleton, "status": "in_progress", "completed_at": None, "error": None, "incomplete_details": None,
        "output": [], "usage": None,
    }  # fmt: skip


def finished(head: Head, skeleton: JsonObject, answer: Answer, output: Sequence[Json]) -> JsonObject:
    """The response with all that was said."""
    cut = _CUT_SHORT.get(answer.finish_reason)
    return {
        **skeleton,
        "status": "completed" if cut is None else "incomplete",
        "completed_at": head.created if cut is None else None,
        "error": None,
        "incomplete_details": None if cut is None else {"reason": cut},
        "output": output,
        "usage": usage_json(answer.usage),
        "tidemill": extension_of(head, answer),
    }


def failed(skeleton: JsonObject, output: Sequence[Json], *, code: Json, message: Json) -> JsonObject:
    """The response of a stream that broke off."""
    error: JsonObject = {"code": code or "server_error", "message": message}
    return {**in_progress(skeleton), "status": "failed", "error": error, "output": output}


def usage_json(usage: Usage) -> JsonObject:
    """Tokens, as clients of this dialect read them."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def items_of(head: Head, parts: Sequence[Part], logprobs: Sequence[TokenLogprob]) -> list[Json]:
    """The items of a whole answer; neighbouring words are one message."""
    items: list[Json] = []
    words: list[Json] = []

    def flush() -> None:
        if words:
            items.append(message_item(f"msg_{head.id}_{len(items)}", tuple(words)))
            words.clear()

    for part in parts:
        match part:
            case Text():
                words.append(text_part(part.text, logprobs if not words else (), said_of(part.extra, NAME)))
            case Refusal():
                words.append({"type": "refusal", "refusal": part.text})
            case Reasoning():
                flush()
                items.append(reasoning_item(f"rs_{head.id}_{len(items)}", part))
            case ToolCall():
                flush()
                items.append(call_item(f"fc_{head.id}_{len(items)}", part.id, part.name, part.arguments))
            case Other(dialect="openai.responses"):
                flush()
                items.append(part.value)
            case _:
                pass
    flush()
    return items or [message_item(f"msg_{head.id}_0", (text_part(""),))]


def message_item(id_: str, content: Sequence[Json], *, status: str = "completed") -> JsonObject:
    """Words of the model."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, logprobs: Sequence[TokenLogprob] = (), said: JsonObject | None = None) -> JsonObject:
    """Text of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs_json(logprobs), **(said or {})}


def call_item(id_: str, call: str, name: str, arguments: str, *, status: str = "completed") -> JsonObject:
    """The call of a function."""
    return {"id": id_, "type": "function_call", "status": status, "arguments": arguments, "call_id": call, "name": name}


def reasoning_item(id_: str, thought: Reasoning) -> JsonObject:
    """A thought. A seal goes where clients keep such a thing and send it back untouched."""
    said = said_of(thought.extra, NAME)
    if said:
        return said
    item: dict[str, Json] = {"id": id_, "type": "reasoning", "summary": []}
    if thought.text:
        item["summary"] = [{"type": "summary_text", "text": thought.text}]
    if thought.data:
        item["encrypted_content"] = f"{SEALED}{thought.data}"
    elif thought.signature:
        item["encrypted_content"] = f"{SIGNATURE}{thought.signature}"
    return item


def logprobs_json(logprobs: Sequence[TokenLogprob]) -> list[Json]:
    """Log probabilities, as clients of this dialect read them."""
    return [
        {**_logprob(each.token, each.logprob), "top_logprobs": [_logprob(token, value) for token, value in each.top]}
        for each in logprobs
    ]


def _logprob(token: str, value: float) -> dict[str, Json]:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "surrogatepass"))}
