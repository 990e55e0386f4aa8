"""The body of `POST /v1/responses`, read strictly: a mistake is one clear error with its place."""

from __future__ import annotations

from typing import Final

from tidemill.core.chat import ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
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
    whole_number,
)
from tidemill.serve.dialects.responses_items import NAME, read_input

_NAMED: Final = frozenset(
    "model input instructions stream max_output_tokens temperature top_p top_logprobs parallel_tool_calls reasoning text tools"
    " tool_choice metadata user store background".split()
)
_SHARED: Final = frozenset("service_tier safety_identifier prompt_cache_key prompt_cache_retention".split())
_ALSO: Final = _SHARED | frozenset(
    "include truncation max_tool_calls stream_options context_management moderation image access_programs"
    " prompt_cache_options".split()
)
_KEPT_ELSEWHERE: Final = {
    "previous_response_id": "Send the whole conversation in input: answers are not kept here.",
    "conversation": "Send the whole conversation in input: conversations are not kept here.",
    "prompt": "Name a prompt of the project as the model: prompt/NAME.",
}
_TOOL: Final = frozenset({"type", "name", "description", "parameters"})


class ResponsesCall(ChatCall, frozen=True, kw_only=True):
    """A call of this dialect; `body` is said again in the answer."""

    body: JsonObject


def read_responses_call(body: JsonObject) -> ResponsesCall:
    """Parse a body. Raises `Invalid`; its `where` is the place in the body, as in `input[0].content`."""
    model = needed_text(body, "model")
    _refuse_stored(body)
    instructions = optional_text(body, "instructions")
    begin = [Message.of("system", instructions)] if instructions else []
    said = read_input(body.get("input"))
    if not said:
        raise Invalid("there is no input", where="input", hint="Send text, or a list of items.")
    tools = [_tool(each, at) for at, each in objects(body.get("tools"), where="tools")]
    return ResponsesCall(
        model=model,
        messages=(*begin, *said),
        stream=flag(body, "stream"),
        include_usage=True,
        params=_params(body),
        tools=tuple(each for each in tools if isinstance(each, ToolDefinition)),
        tool_choice=_tool_choice(body),
        output_schema=_output_schema(body),
        inputs=inputs_of(optional_object(body, "metadata")),
        user=optional_text(body, "user"),
        extra=_extra(body, [each for each in tools if not isinstance(each, ToolDefinition)]),
        body=body,
    )


def _refuse_stored(body: JsonObject) -> None:
    """What would need answers to be kept is refused before anything is asked."""
    for name, hint in _KEPT_ELSEWHERE.items():
        if body.get(name) is not None:
            raise Invalid(f"{name} is not supported", where=name, hint=hint)
    if flag(body, "background"):
        raise Invalid("background is not supported", where="background", hint="Leave it out, and stream the answer.")


def _params(body: JsonObject) -> JsonObject:
    params: dict[str, Json] = {
        name: value
        for name, value in body.items()
        if name not in _NAMED and name not in _ALSO and name not in _KEPT_ELSEWHERE and value is not None
    }
    for name in ("temperature", "top_p"):
        if (number := optional_number(body, name)) is not None:
            params[name] = number
    if (most := whole_number(body, "max_output_tokens", least=1)) is not None:
        params["max_tokens"] = most
    if body.get("parallel_tool_calls") is not None:
        params["parallel_tool_calls"] = flag(body, "parallel_tool_calls")
    effort = optional_text(optional_object(body, "reasoning") or {}, "effort", where="reasoning")
    verbosity = optional_text(optional_object(body, "text") or {}, "verbosity", where="text")
    params |= {name: word for name, word in (("reasoning_effort", effort), ("verbosity", verbosity)) if word is not None}
    top = whole_number(body, "top_logprobs", least=0)
    if top or "message.output_text.logprobs" in _included(body):
        params["logprobs"] = True
        params |= {"top_logprobs": top} if top else {}
    return params


def _included(body: JsonObject) -> list[Json]:
    include = body.get("include")
    return list(include) if isinstance(include, list) else []


def _tool(tool: JsonObject, where: str) -> ToolDefinition | JsonObject:
    """A function of the caller's; a tool that the provider runs by itself is kept as it was written."""
    if needed_text(tool, "type", where=where) != "function":
        return tool
    rest = {name: value for name, value in tool.items() if name not in _TOOL and value is not None}
    return ToolDefinition(
        name=needed_text(tool, "name", where=where),
        description=optional_text(tool, "description", where=where) or "",
        parameters=optional_object(tool, "parameters", where=where) or {},
        extra={NAME: rest, "openai.chat": rest} if rest else {},  # `strict` is said alike
    )


def _tool_choice(body: JsonObject) -> str | None:
    choice = body.get("tool_choice")
    if choice is None or isinstance(choice, str):
        return choice
    given = needed_object(body, "tool_choice")
    return needed_text(given, "name", where="tool_choice") if given.get("type") == "function" else None


def _output_schema(body: JsonObject) -> JsonObject | None:
    wanted = optional_object(optional_object(body, "text") or {}, "format", where="text") or {}
    match wanted.get("type", "text"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            return needed_object(wanted, "schema", where="text.format")
        case kind:
            raise Invalid(f"text.format is {kind!r}", where="text.format", hint="Send type text, json_object or json_schema.")


def _extra(body: JsonObject, provider_tools: list[JsonObject]) -> JsonObject:
    rest: dict[str, Json] = {name: body[name] for name in _ALSO if body.get(name) is not None}
    for name, aside in (("reasoning", {"effort"}), ("text", {"verbosity"})):
        more = {key: value for key, value in (optional_object(body, name) or {}).items() if key not in aside}
        if more:
            rest[name] = more
    if provider_tools:
        rest["tools"] = provider_tools
    if not isinstance(choice := body.get("tool_choice"), str | None) and _tool_choice(body) is None:
        rest["tool_choice"] = choice
    shared = {name: body[name] for name in _SHARED if body.get(name) is not None}
    extra: dict[str, Json] = {NAME: rest} if rest else {}
    return {**extra, "openai.chat": shared} if shared else extra
