"""A chat request in Ollama's own words.

https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Image, Message, Reasoning, Refusal, Text, ToolResult
from tidemill.models.arguments import arguments_of
from tidemill.models.params import mapped, stops

PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict", "stop": "stop", "seed": "seed", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty", "reasoning_effort": "think", "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}  # fmt: skip
_TOP: Final = frozenset({"keep_alive", "think", "logprobs", "top_logprobs", "format", "template"})


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `POST /api/chat`. What is no field of the request is an option of the model, as `num_ctx` is."""
    params = mapped(request.params, PARAMS, provider="ollama")
    if "stop" in params:
        params["stop"] = stops(params["stop"])
    if isinstance(params.get("think"), str):
        params["think"] = _think(str(params["think"]), request.model)
    body: dict[str, Json] = {"model": request.model, "messages": list(_messages(request.messages))}
    body |= {name: value for name, value in params.items() if name in _TOP}
    if options := {name: value for name, value in params.items() if name not in _TOP}:
        body["options"] = options
    if request.tools and request.tool_choice != "none":
        body["tools"] = [_tool(each) for each in request.tools if request.tool_choice in {None, "auto", "required", each.name}]
    if request.output_schema is not None:
        body["format"] = "json" if request.output_schema == {"type": "object"} else request.output_schema
    return body


def _think(effort: str, model: str) -> Json:
    """Whether to think; a few models take the word itself."""
    return effort if "gpt-oss" in model else effort != "none"


def _tool(tool: ToolDefinition) -> JsonObject:
    schema: JsonObject = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": schema}}


def _messages(messages: Iterable[Message]) -> Iterator[JsonObject]:
    names: dict[str, str] = {}
    for message in messages:
        names.update({call.id: call.name for call in message.tool_calls})
        for part in message.parts:
            if isinstance(part, ToolResult):
                yield {"role": "tool", "content": part.content, "tool_name": names.get(part.id, part.id)}
        written = _message(message)
        if len(written) > 2 or written["content"]:
            yield written


def _message(message: Message) -> dict[str, Json]:
    said = "".join(part.text for part in message.parts if isinstance(part, Text | Refusal))
    written: dict[str, Json] = {"role": message.role, "content": said}
    if thought := "".join(part.text for part in message.parts if isinstance(part, Reasoning)):
        written["thinking"] = thought
    for part in message.parts:
        if part.type in {"audio", "video", "file"}:
            raise Invalid(f"ollama takes no {part.type}", hint="Send text and images only.", kind="invalid")
    pictures = [part for part in message.parts if isinstance(part, Image)]
    if any(each.data is None for each in pictures):
        raise Invalid("ollama takes images only with their content", hint="Give them by data or blob.", kind="invalid")
    if pictures:
        written["images"] = [each.data for each in pictures]
    if message.tool_calls:
        written["tool_calls"] = [
            {"function": {"name": each.name, "arguments": arguments_of(each)}} for each in message.tool_calls
        ]
    return written
