"""A chat request in Anthropic's words.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Text
from tidemill.models.params import mapped, stops
from tidemill.models.providers.anthropic_blocks import NAME, block_of, comes_later
from tidemill.models.providers.anthropic_thinking import think, version_of
from tidemill.models.reading import child

_MOST_TOKENS: Final = 4096
_HEARS_SYSTEM: Final = (4, 8)
_NO_PARAMETERS: Final[JsonObject] = {"type": "object", "properties": {}}
_CHOICES: Final[Mapping[str, JsonObject]] = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
PARAMS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens", "stop": "stop_sequences", "reasoning_effort": "effort",
    "parallel_tool_calls": "parallel", "user": "user",
}  # fmt: skip


def write_request(request: ChatRequest) -> dict[str, Json]:
    """The body of `POST /v1/messages`. Without `max_tokens`, which is required there, it asks for at most 4096."""
    params = mapped(request.params, PARAMS, provider="anthropic")
    effort, parallel, user = (params.pop(name, None) for name in ("effort", "parallel", "user"))
    extra = {name: value for name, value in child(request.extra, NAME).items() if name not in {"betas", "tools"}}
    body: dict[str, Json] = {**params, "model": request.model, "max_tokens": params.get("max_tokens") or _MOST_TOKENS}
    if "stop_sequences" in body:
        body["stop_sequences"] = stops(body["stop_sequences"])
    if isinstance(user, str) and user:
        body["metadata"] = {"user_id": user}
    system, turns = _parted(request)
    body |= _system(system)
    body["messages"] = _turns(turns)
    if tools := [*map(_tool, request.tools), *_own_tools(request)]:
        body["tools"] = tools
        if choice := _choice(request.tool_choice, parallel=parallel is not False):
            body["tool_choice"] = choice
    if request.output_schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _checked(request.output_schema)}}
    config = {**child(body, "output_config"), **child(extra, "output_config")}
    body |= extra
    if config:
        body["output_config"] = config
    return think(body, effort) if isinstance(effort, str) else body


def betas_of(request: ChatRequest) -> str:
    """What goes into `anthropic-beta`; empty when nothing does."""
    given = child(request.extra, NAME).get("betas")
    return ",".join(str(each) for each in given) if isinstance(given, list | tuple) else ""


def _own_tools(request: ChatRequest) -> list[Json]:
    """Tools that the provider runs by itself, as the client wrote them."""
    given = child(request.extra, NAME).get("tools")
    return list(given) if isinstance(given, list | tuple) else []


def _parted(request: ChatRequest) -> tuple[list[Message], list[Message]]:
    """What the system says, and the turns. What it says in the middle stays there for models that know of it (from 4.8 on)."""
    messages = request.messages
    first = next((index for index, each in enumerate(messages) if each.role != "system"), len(messages))
    if version_of(request.model, otherwise=(0, 0)) >= _HEARS_SYSTEM:
        return list(messages[:first]), list(messages[first:])
    system = [each for each in messages if each.role == "system"]
    return system, [each for each in messages if each.role != "system"]


def _system(system: Sequence[Message]) -> JsonObject:
    """One text, or blocks where one of them says more, such as that it is to be kept in the cache."""
    parts = [part for each in system for part in each.parts if isinstance(part, Text) and part.text.strip()]
    if any(part.extra for part in parts):
        return {"system": [block for part in parts if (block := block_of(part)) is not None]}
    joined = "\n\n".join(each.text for each in system)
    return {"system": joined} if joined else {}


def _tool(tool: ToolDefinition) -> JsonObject:
    written: dict[str, Json] = {"name": tool.name, "input_schema": tool.parameters or _NO_PARAMETERS}
    if tool.description:
        written["description"] = tool.description
    return {**written, **child(tool.extra, NAME)}


def _choice(choice: str | None, *, parallel: bool) -> JsonObject:
    if not choice and parallel:
        return {}
    chosen = _CHOICES.get(choice or "auto", {"type": "tool", "name": choice})
    return chosen if parallel or chosen["type"] == "none" else {**chosen, "disable_parallel_tool_use": True}


def _turns(messages: Sequence[Message]) -> list[Json]:
    """User and assistant in turn: what tools answered is the user's, and neighbours of one role are joined."""
    turns: list[tuple[str, list[JsonObject]]] = []
    for message in messages:
        role = message.role if message.role in {"assistant", "system"} else "user"
        blocks = [block for part in message.parts if (block := block_of(part)) is not None]
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    # Tool results have to come before anything else that the user says.
    return [{"role": role, "content": sorted(blocks, key=comes_later)} for role, blocks in turns]


def _checked(schema: JsonObject) -> Json:
    if schema == {"type": "object"}:
        hint = "Give the schema of the object: response_format of type json_schema."
        raise Invalid("anthropic has no JSON mode without a schema", where="response_format", hint=hint, kind="invalid")
    return _closed(schema)


def _closed(schema: Json) -> Json:
    """The schema with every object closed that does not say whether it is, as Anthropic wants them."""
    if isinstance(schema, Mapping):
        inner: dict[str, Json] = {name: _closed(value) for name, value in schema.items()}
        is_object = schema.get("type") == "object" and isinstance(schema.get("properties"), Mapping)
        return {**inner, "additionalProperties": False} if is_object and "additionalProperties" not in schema else inner
    return [_closed(each) for each in schema] if isinstance(schema, list | tuple) else schema
