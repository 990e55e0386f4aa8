"""A chat request in OpenAI's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, Image, Media, Message, Part, Text, ToolCall, ToolResult, Video

_CHOICES = frozenset({"auto", "none", "required"})
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def write_request(request: ChatRequest, *, official: bool) -> dict[str, Json]:
    """The body of `POST /chat/completions`. `official` is OpenAI's own server, which renamed `max_tokens`."""
    body: dict[str, Json] = {name: value for name, value in request.params.items() if name != "provider_options"}
    if official and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    body["model"] = request.model
    body["messages"] = [each for message in request.messages for each in _messages(message)]
    if request.tools:
        body["tools"] = [_tool(each) for each in request.tools]
    if request.tools and request.tool_choice:
        choice = request.tool_choice
        body["tool_choice"] = choice if choice in _CHOICES else {"type": "function", "function": {"name": choice}}
    if request.output_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": request.output_schema, "strict": _can_be_strict(request.output_schema)},
        }
    return body


def _tool(tool: ToolDefinition) -> JsonObject:
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or _NO_PARAMETERS,
    }
    return {"type": "function", "function": function}


def _messages(message: Message) -> Iterator[JsonObject]:
    """One message, or several: each tool result is a message of its own, before what else is said."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.id, "content": part.content}
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResult | ToolCall))
    calls = message.tool_calls
    if not rest and not calls and any(isinstance(part, ToolResult) for part in message.parts):
        return
    written: dict[str, Json] = {"role": message.role, "content": _content(rest, has_calls=bool(calls))}
    if calls:
        written["tool_calls"] = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments or "{}"}}
            for each in calls
        ]
    yield written


def _content(parts: tuple[Part, ...], *, has_calls: bool) -> Json:
    if all(isinstance(part, Text) for part in parts):
        joined = "".join(part.text for part in parts if isinstance(part, Text))
        return None if has_calls and not joined else joined
    return [_part(part) for part in parts]


def _part(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": _address(part)}}
    if isinstance(part, Video):
        return {"type": "video_url", "video_url": {"url": _address(part)}}
    if isinstance(part, Audio):
        if part.data is None:
            raise Invalid("sound can be sent to this provider only with its content", hint="Give it by data or blob, not url.")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": _sound_format(part.media_type)}}
    file = cast("Media", part)
    return {"type": "file", "file": {"file_data": _address(file), "filename": file.name or "file"}}


def _address(part: Media) -> str:
    return part.url if part.url is not None else f"data:{part.media_type};base64,{part.data}"


def _sound_format(media_type: str) -> str:
    name = media_type.partition("/")[2].removeprefix("x-")
    return "mp3" if name == "mpeg" else name


def _can_be_strict(schema: Json) -> bool:
    """Whether every object of the schema closes itself and requires all it names, without which OpenAI refuses `strict`."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if schema.get("type") == "object" or isinstance(properties, Mapping):
            names = set(properties) if isinstance(properties, Mapping) else set[str]()
            required = schema.get("required")
            if schema.get("additionalProperties") is not False or not isinstance(required, list | tuple):
                return False
            if set(cast("list[str]", required)) != names:
                return False
        return all(map(_can_be_strict, schema.values()))
    return all(map(_can_be_strict, schema)) if isinstance(schema, list | tuple) else True
