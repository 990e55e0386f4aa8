"""The body of `POST /v1/messages`, read strictly: a mistake is one clear error with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.chat import ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message, Part, ToolResult
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.dialects.fields import (
    flag,
    inputs_of,
    needed_object,
    needed_text,
    objects,
    optional_number,
    optional_object,
    optional_text,
    place,
    texts,
    whole_number,
)
from tidemill.serve.dialects.messages_blocks import NAME, kept, read_content

_NAMED: Final = frozenset(
    "model messages system stream max_tokens temperature top_p top_k stop_sequences tools tool_choice metadata".split()
)
_ALSO: Final = frozenset(  # what only this dialect has; other fields are passed to the provider as they are
    "thinking output_config cache_control container context_management mcp_servers service_tier inference_geo speed diagnostics"
    " user_profile_id workspace_id betas fallbacks".split()
)
_TOOL: Final = frozenset({"type", "name", "description", "input_schema"})
_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS: Final = ((1024, "low"), (8192, "medium"))


def read_messages_call(body: JsonObject) -> ChatCall:
    """Parse a body. Raises `Invalid`; its `where` is the place in the body, as in `messages[0].content`."""
    model = needed_text(body, "model")
    turns = objects(body.get("messages"), where="messages")
    if not turns:
        raise Invalid("there is no message", where="messages", hint="Send at least one message of the user.")
    system = body.get("system")
    begin = () if not system else (Message(role="system", parts=read_content(system, where="system")),)
    metadata = optional_object(body, "metadata")
    tools = tuple(_tool(each, at) for at, each in objects(body.get("tools"), where="tools"))
    return ChatCall(
        model=model,
        messages=(*begin, *(message for at, turn in turns for message in _turn(turn, at))),
        stream=flag(body, "stream"),
        include_usage=True,
        params=_params(body),
        tools=tuple(each for each in tools if isinstance(each, ToolDefinition)),
        tool_choice=_tool_choice(body),
        output_schema=_output_schema(body),
        inputs=inputs_of(metadata),
        user=optional_text(metadata or {}, "user_id", where="metadata"),
        extra=_extra(body, [each for each in tools if not isinstance(each, ToolDefinition)]),
    )


def _turn(turn: JsonObject, where: str) -> list[Message]:
    """One message; what tools answered, which the user's message carries here, is made messages of its own."""
    role = needed_text(turn, "role", where=where)
    parts = read_content(turn.get("content"), where=place(where, "content"))
    if not parts:
        raise Invalid(f"the message of role {role} is empty", where=place(where, "content"), hint="Send its text.")
    match role:
        case "assistant" | "system":
            return [Message(role=role, parts=parts)]
        case "user":
            results = [Message(role="tool", parts=(each,)) for each in parts if isinstance(each, ToolResult)]
            said: tuple[Part, ...] = tuple(each for each in parts if not isinstance(each, ToolResult))
            return [*results, Message(role="user", parts=said)] if said else results
        case _:
            raise Invalid(f"the role {role!r} is not known", where=place(where, "role"), hint="Known: user, assistant.")


def _params(body: JsonObject) -> JsonObject:
    params: dict[str, Json] = {
        name: value for name, value in body.items() if name not in _NAMED and name not in _ALSO and value is not None
    }
    for name in ("temperature", "top_p"):
        if (number := optional_number(body, name)) is not None:
            params[name] = number
    for name in ("max_tokens", "top_k"):
        if (count := whole_number(body, name, least=1)) is not None:
            params[name] = count
    if body.get("stop_sequences") is not None:
        params["stop"] = texts(body["stop_sequences"], where="stop_sequences")
    choice = optional_object(body, "tool_choice")
    if choice is not None and flag(choice, "disable_parallel_tool_use", where="tool_choice"):
        params["parallel_tool_calls"] = False
    if (effort := _effort(body)) is not None:
        params["reasoning_effort"] = effort
    return params


def _effort(body: JsonObject) -> str | None:
    """How much to think, in the one word that other dialects have for it."""
    effort = optional_text(optional_object(body, "output_config") or {}, "effort", where="output_config")
    thinking = optional_object(body, "thinking") or {}
    if effort is not None or thinking.get("type") != "enabled":
        return effort
    budget = whole_number(thinking, "budget_tokens", least=1, where="thinking") or 0
    return next((word for most, word in _EFFORTS if budget <= most), "high")


def _tool(tool: JsonObject, where: str) -> ToolDefinition | JsonObject:
    """A tool of the caller's; one that the provider runs by itself is kept as it was written."""
    if tool.get("type", "custom") not in {"custom", None}:
        return tool
    return ToolDefinition(
        name=needed_text(tool, "name", where=where),
        description=optional_text(tool, "description", where=where) or "",
        parameters=needed_object(tool, "input_schema", where=where),
        extra=kept(tool, _TOOL),
    )


def _tool_choice(body: JsonObject) -> str | None:
    choice = optional_object(body, "tool_choice")
    if choice is None:
        return None
    kind = needed_text(choice, "type", where="tool_choice")
    if kind == "tool":
        return needed_text(choice, "name", where="tool_choice")
    if kind not in _CHOICES:
        raise Invalid(f"tool_choice is {kind!r}", where="tool_choice.type", hint="Send auto, any, none or tool.")
    return _CHOICES[kind]


def _output_schema(body: JsonObject) -> JsonObject | None:
    wanted = optional_object(optional_object(body, "output_config") or {}, "format", where="output_config")
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema":
        raise Invalid("output_config.format is not understood", where="output_config.format", hint="Send type json_schema.")
    return needed_object(wanted, "schema", where="output_config.format")


def _extra(body: JsonObject, provider_tools: list[JsonObject]) -> JsonObject:
    """What only this dialect says; an effort and a schema, which have names of their own, aside."""
    rest: dict[str, Json] = {name: body[name] for name in _ALSO if body.get(name) is not None}
    config = {
        name: value
        for name, value in (optional_object(body, "output_config") or {}).items()
        if name not in {"effort", "format"}
    }
    rest.pop("output_config", None)
    if config:
        rest["output_config"] = config
    if provider_tools:
        rest["tools"] = provider_tools
    return {NAME: rest} if rest else {}
