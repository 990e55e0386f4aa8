"""A chat request in Anthropic's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import File, Image, Media, Message, Part, Text, ToolCall, ToolResult

_MOST_TOKENS = 4096
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
# There is no seed to be had; it is left out, so that one file can be pointed at several providers.
_LEFT_OUT = frozenset({"provider_options", "seed", "stop", "max_tokens"})
_CHOICES: Mapping[str, JsonObject] = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `POST /v1/messages`. Without `max_tokens`, which is required there, it asks for at most 4096."""
    params = request.params
    if params.get("logprobs"):
        raise Invalid("anthropic gives no log probabilities", where="params.logprobs", hint="Leave logprobs out.")
    body: dict[str, Json] = {name: value for name, value in params.items() if name not in _LEFT_OUT}
    body |= {"model": request.model, "max_tokens": params.get("max_tokens") or _MOST_TOKENS}
    stop = params.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    system = "\n\n".join(each.text for each in request.messages if each.role == "system")
    if system:
        body["system"] = system
    body["messages"] = _messages([each for each in request.messages if each.role != "system"])
    if request.tools:
        body["tools"] = [
            {"name": each.name, "description": each.description, "input_schema": each.parameters or _NO_PARAMETERS}
            for each in request.tools
        ]
    if request.tools and request.tool_choice:
        body["tool_choice"] = _CHOICES.get(request.tool_choice, {"type": "tool", "name": request.tool_choice})
    if request.output_schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": request.output_schema}}
    return body


def _messages(messages: Sequence[Message]) -> list[JsonObject]:
    """User and assistant in turn: what tools answered is the user's, and neighbours of one role are joined."""
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_block(part) for part in message.parts if not (isinstance(part, Text) and not part.text.strip())]
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, [*blocks]))
    # Tool results have to come before anything else that the user says.
    return [{"role": role, "content": sorted(blocks, key=_comes_later)} for role, blocks in turns]


def _comes_later(block: Json) -> bool:
    return not (isinstance(block, Mapping) and block.get("type") == "tool_result")


def _block(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": _arguments(part)}
    if isinstance(part, ToolResult):
        return {"type": "tool_result", "tool_use_id": part.id, "content": part.content, "is_error": part.is_error}
    if isinstance(part, Image | File):
        return {"type": "image" if isinstance(part, Image) else "document", "source": _source(part)}
    raise Invalid(f"anthropic takes no {part.type}", hint="Send text, images and documents only.")


def _source(part: Media) -> JsonObject:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _arguments(call: ToolCall) -> Json:
    """The arguments as an object. What a model once wrote and is no JSON object is handed back under a name of its own."""
    try:
        value: Json = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return {"invalid_json": call.arguments}
    return value if isinstance(value, Mapping) else {"value": value}
