"""A chat request in OpenAI's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import (
    Audio,
    File,
    Image,
    Media,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from tidemill.models.reading import said, text

NAME: Final = "openai.chat"
_CHOICES = frozenset({"auto", "none", "required"})
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def write_request(request: ChatRequest, *, official: bool) -> dict[str, Json]:
    """The body of `POST /chat/completions`. `official` is OpenAI's own server, which renamed `max_tokens`."""
    body: dict[str, Json] = {name: value for name, value in request.params.items() if name != "provider_options"}
    if official and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    body["model"] = request.model
    body["messages"] = [each for message in request.messages for each in _messages(message)]
    extra = said(request.extra, NAME)
    own = extra.get("tools")
    tools = [*map(_tool, request.tools), *(own if isinstance(own, list | tuple) else ())]
    if tools:
        body["tools"] = tools
    if tools and request.tool_choice:
        choice = request.tool_choice
        body["tool_choice"] = choice if choice in _CHOICES else {"type": "function", "function": {"name": choice}}
    if request.output_schema is not None:
        body["response_format"] = _format(request.output_schema)
    return {**body, **{name: value for name, value in extra.items() if name != "tools"}}


def _format(schema: JsonObject) -> JsonObject:
    if schema == {"type": "object"}:
        return {"type": "json_object"}
    described: JsonObject = {"name": "output", "schema": schema, "strict": _can_be_strict(schema)}
    return {"type": "json_schema", "json_schema": described}


def _tool(tool: ToolDefinition) -> JsonObject:
    function: dict[str, Json] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or _NO_PARAMETERS,
    }
    return {"type": "function", "function": {**function, **said(tool.extra, NAME)}}


def _messages(message: Message) -> Iterator[JsonObject]:
    """One message, or several: each tool result is a message of its own, before what else is said."""
    extra = said(message.extra, NAME)
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for part in results:
        yield {"role": "tool", "tool_call_id": part.id, "content": _result(part), **extra}
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResult | ToolCall | Reasoning | Refusal))
    calls = message.tool_calls
    refusals = "".join(part.text for part in message.parts if isinstance(part, Refusal))
    if results and not rest and not calls:
        return
    written: dict[str, Json] = {"role": message.role}
    if message.role == "assistant":
        rest = tuple(part for part in rest if not _is_said_by_id(part, written))
    written["content"] = _content(rest, may_be_empty=bool(calls or refusals or "audio" in written))
    if refusals:
        written["refusal"] = refusals
    if calls:
        written["tool_calls"] = [_call(each) for each in calls]
    for part in message.parts:
        if isinstance(part, Reasoning) and (field := text(said(part.extra, NAME), "field")):
            written[field] = text(written, field) + part.text
    yield {**written, **extra}


def _is_said_by_id(part: Part, written: dict[str, Json]) -> bool:
    """What a model once spoke is named by its id, and not sent back."""
    spoken = text(said(part.extra, NAME), "id") if isinstance(part, Audio) else ""
    if spoken:
        written["audio"] = {"id": spoken}
    return bool(spoken)


def _call(call: ToolCall) -> JsonObject:
    extra = said(call.extra, NAME)
    if extra.get("type") == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function: JsonObject = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function, **extra}


def _result(result: ToolResult) -> Json:
    """Its text; as parts where there is more to it than text."""
    if all(isinstance(part, Text) and not part.extra for part in result.parts):
        return result.content
    return [_part(part) for part in result.parts]


def _content(parts: tuple[Part, ...], *, may_be_empty: bool) -> Json:
    if all(isinstance(part, Text) and not part.extra for part in parts):
        joined = "".join(part.text for part in parts if isinstance(part, Text))
        return None if may_be_empty and not joined else joined
    return [_part(part) for part in parts]


def _part(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **said(part.extra, NAME)}
    if isinstance(part, Other):
        if part.dialect != NAME:
            problem = f"openai has no content of type {part.value.get('type')}"
            raise Invalid(problem, where="messages", hint="Leave it out, or ask a model whose provider has it.", kind="invalid")
        return part.value
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": _address(part), **said(part.extra, NAME)}}
    if isinstance(part, Video):
        return {"type": "video_url", "video_url": {"url": _address(part), **said(part.extra, NAME)}}
    if isinstance(part, Audio):
        if part.data is None:
            raise Invalid("sound can be sent to this provider only with its content", hint="Give it by data or blob, not url.")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": _sound_format(part.media_type)}}
    if not isinstance(part, File):
        raise Invalid(f"a part of type {part.type} does not stand in a message's content", where="messages", kind="invalid")
    return {"type": "file", "file": {"file_data": _address(part), "filename": part.name or "file", **said(part.extra, NAME)}}


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
