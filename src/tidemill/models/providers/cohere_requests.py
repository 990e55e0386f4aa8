"""A chat request in Cohere's words.

https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Image, Message, Other, Part, Reasoning, Refusal, Text, ToolResult
from tidemill.models.params import mapped, stops
from tidemill.models.reading import child

NAME: Final = "cohere.chat"
PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "p", "top_k": "k", "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens", "stop": "stop_sequences", "seed": "seed", "logprobs": "logprobs",
    "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty", "reasoning_effort": "thinking",
}  # fmt: skip
_BUDGETS: Final[Mapping[str, int]] = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `POST /v2/chat`."""
    params = mapped(request.params, PARAMS, provider="cohere")
    if "stop_sequences" in params:
        params["stop_sequences"] = stops(params["stop_sequences"])
    effort = params.get("thinking")
    if effort == "none":
        params["thinking"] = {"type": "disabled"}
    elif isinstance(effort, str):
        params["thinking"] = {"type": "enabled", "token_budget": _BUDGETS.get(effort, 24576)}
    body: dict[str, Json] = {**params, "model": request.model}
    body["messages"] = [each for message in request.messages for each in _messages(message)]
    if request.tools:
        body |= _tools(request)
    if request.output_schema is not None:
        bare = request.output_schema == {"type": "object"}
        body["response_format"] = {"type": "json_object"} if bare else {"type": "json_object", "schema": request.output_schema}
    return {**body, **child(request.extra, NAME)}


def _tools(request: ChatRequest) -> JsonObject:
    """The tools; where one of them is wanted by name, it is the only one, and must be called."""
    choice, tools = request.tool_choice, request.tools
    if choice in {None, "auto"}:
        return {"tools": [_tool(each) for each in tools]}
    if choice in {"required", "none"}:
        return {"tools": [_tool(each) for each in tools], "tool_choice": str(choice).upper()}
    return {"tools": [_tool(each) for each in tools if each.name == choice], "tool_choice": "REQUIRED"}


def _tool(tool: ToolDefinition) -> JsonObject:
    schema: JsonObject = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": schema}}


def _messages(message: Message) -> Iterator[JsonObject]:
    """One message, or several: each tool result is a message of its own."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.id, "content": part.content}
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if not rest:
        return
    written: dict[str, Json] = {"role": message.role}
    plans = [part.text for part in rest if isinstance(part, Reasoning) and child(part.extra, NAME)]
    content = [block for part in rest if (block := _block(part)) is not None]
    if content:
        plain = all(each["type"] == "text" for each in content)
        written["content"] = "".join(str(each["text"]) for each in content) if plain else content
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments or "{}"}}
            for each in message.tool_calls
        ]
        if plans:
            written["tool_plan"] = "".join(plans)
    if len(written) > 1:
        yield written


def _block(part: Part) -> JsonObject | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text} if part.text else None
        case Reasoning():
            return {"type": "thinking", "thinking": part.text} if part.text and not child(part.extra, NAME) else None
        case Image():
            return {"type": "image_url", "image_url": {"url": part.url or f"data:{part.media_type};base64,{part.data}"}}
        case Other():
            return part.value if part.dialect == NAME else None
        case _ if part.type == "tool_call":
            return None
        case _:
            raise Invalid(f"cohere takes no {part.type}", hint="Send text and images only.", kind="invalid")
