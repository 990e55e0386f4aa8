"""The body of `POST /v1/chat/completions`, read strictly: a mistake is one clear error with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from tidemill.core.chat import ToolDefinition
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.parts import Message
from tidemill.serve.chat_parts import NAME, WireMessage, read_message

_PARAMS: Final = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "logprobs", "top_logprobs", "logit_bias",
    "presence_penalty", "frequency_penalty", "reasoning_effort", "verbosity", "n", "parallel_tool_calls", "modalities", "audio",
    "user",
)  # fmt: skip
_SAMPLING: Final = frozenset(_PARAMS)
_READ: Final = frozenset({*_PARAMS, "model", "messages", "stream", "stream_options", "tools", "tool_choice", "response_format"})
_COMMON: Final = frozenset({*_PARAMS, "model", "messages", "stream"})
"""Fields of which nothing is this dialect's alone."""
_MOST_ANSWERS: Final = 128


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _Body(msgspec.Struct, frozen=True):
    messages: list[WireMessage]
    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    user: str | None = None
    metadata: dict[str, object] | None = None
    tools: list[dict[str, object]] | None = None
    tool_choice: str | dict[str, object] | None = None
    response_format: dict[str, object] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None


class ChatCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks. `params` are the sampling parameters as sent; `inputs` is `metadata.inputs`.

    `extra` is what only the caller's dialect says, as in `ChatRequest`; `unsayable` is what has to be refused wherever the
    request is not passed on in that dialect.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    params: JsonObject
    tools: tuple[ToolDefinition, ...]
    tool_choice: str | None
    output_schema: JsonObject | None
    inputs: JsonObject
    user: str | None
    extra: JsonObject = msgspec.field(default_factory=dict[str, Json])
    unsayable: tuple[Problem, ...] = ()

    @property
    def question(self) -> Message | None:
        """The last message of the user."""
        return next((each for each in reversed(self.messages) if each.role == "user"), None)


def read_chat_call(fields: JsonObject) -> ChatCall:
    """Read a body. Raises `Invalid`; its `where` is the place in the body, as in `messages[0].content`."""
    try:
        body = msgspec.convert(fields, _Body)
    except msgspec.ValidationError as error:
        raise _described(error) from error
    if not body.model:
        raise Invalid("the request names no model", where="model", hint="See GET /v1/models.")
    if body.n is not None and not 1 <= body.n <= _MOST_ANSWERS:
        raise Invalid(f"n is {body.n}, but should be from 1 to {_MOST_ANSWERS}", where="n", hint="Leave n out for one answer.")
    if not body.messages:
        raise Invalid("there is no message", where="messages", hint="Send at least one message of the user.")
    sent = cast("Sequence[JsonObject]", fields["messages"])
    tools, others = _tools(body.tools or ())
    extra = _extra(fields, body, others)
    return ChatCall(
        model=body.model,
        messages=tuple(read_message(each, sent[index], where=f"messages[{index}]") for index, each in enumerate(body.messages)),
        stream=body.stream is True,
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
        params=_params(fields),
        tools=tools,
        tool_choice=_tool_choice(body.tool_choice),
        output_schema=_output_schema(body.response_format),
        inputs=_inputs(body.metadata),
        user=body.user,
        extra={NAME: extra} if extra else {},
    )


def _described(error: msgspec.ValidationError) -> Invalid:
    message, _, place = str(error).partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".")
    return Invalid(f"the request is wrong: {message}", where=where, hint="See the reference of the chat completions API.")


def _params(fields: JsonObject) -> JsonObject:
    if _SAMPLING.isdisjoint(fields):
        return {}
    params = {name: fields[name] for name in _PARAMS if fields.get(name) is not None}
    if "max_completion_tokens" in params:
        params["max_tokens"] = params.pop("max_completion_tokens")
    return params


def _extra(fields: JsonObject, body: _Body, tools: Sequence[Json]) -> dict[str, Json]:
    """What only this dialect has words for."""
    if fields.keys() <= _COMMON:
        return {}
    extra: dict[str, Json] = {name: value for name, value in fields.items() if name not in _READ and value is not None}
    if "metadata" in extra and "inputs" in (body.metadata or {}):
        del extra["metadata"]  # it is meant for us
    if body.response_format is not None and body.response_format.get("type") == "json_schema":
        extra["response_format"] = fields["response_format"]
    if isinstance(body.tool_choice, Mapping) and body.tool_choice.get("type") != "function":
        extra["tool_choice"] = fields["tool_choice"]
    options = fields.get("stream_options")
    if isinstance(options, Mapping) and options.keys() - {"include_usage"}:
        extra["stream_options"] = options
    if tools:
        extra["tools"] = tools
    return extra


def _tools(tools: Sequence[Mapping[str, object]]) -> tuple[tuple[ToolDefinition, ...], list[Json]]:
    """Functions, and what else the dialect calls tools."""
    functions: list[ToolDefinition] = []
    others: list[Json] = []
    for index, tool in enumerate(tools):
        if tool.get("type") == "function":
            functions.append(_function(tool, where=f"tools[{index}]"))
        elif isinstance(tool.get("type"), str):
            others.append(cast("JsonObject", tool))
        else:
            raise Invalid("the tool has no type", where=f"tools[{index}]", hint='Send {"type": "function", "function": {…}}.')
    return tuple(functions), others


def _function(tool: Mapping[str, object], *, where: str) -> ToolDefinition:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        raise Invalid("the tool needs function, an object", where=where, hint='Send {"type": "function", "function": {…}}.')
    fields = cast("JsonObject", function)
    name, description, parameters = fields.get("name"), fields.get("description") or "", fields.get("parameters") or {}
    if not isinstance(name, str) or not isinstance(description, str) or not isinstance(parameters, Mapping):
        hint = "A function has name and description as text, and parameters as a JSON Schema."
        raise Invalid("the tool's function is wrong", where=f"{where}.function", hint=hint)
    rest = {key: each for key, each in fields.items() if key not in {"name", "description", "parameters"}}
    return ToolDefinition(name=name, description=description, parameters=parameters, extra={NAME: rest} if rest else {})


def _tool_choice(choice: str | Mapping[str, object] | None) -> str | None:
    if choice is None or isinstance(choice, str):
        return choice
    if choice.get("type", "function") != "function":
        return None
    function = choice.get("function")
    name = cast("Mapping[str, object]", function).get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise Invalid("tool_choice names no function", where="tool_choice", hint="Send auto, none, required or a function.")
    return name


def _output_schema(wanted: Mapping[str, object] | None) -> JsonObject | None:
    kind = wanted.get("type") if wanted else "text"
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    described = wanted.get("json_schema")
    schema = cast("Mapping[str, Json]", described).get("schema") if isinstance(described, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping):
        raise Invalid(
            "response_format is not understood",
            where="response_format",
            hint='Send {"type": "json_schema", "json_schema": {"name": …, "schema": {…}}}.',
        )
    return schema


def _inputs(metadata: Mapping[str, object] | None) -> JsonObject:
    """`metadata.inputs`: an object, or the same as JSON text for clients that allow only text there."""
    if not metadata:
        return {}
    inputs = cast("Json", metadata.get("inputs", {}))
    if isinstance(inputs, str):
        inputs = parse_json(inputs, what="metadata.inputs")
    if not isinstance(inputs, Mapping) or isinstance(inputs, Sequence):
        raise Invalid("metadata.inputs is not an object", where="metadata.inputs", hint='Send {"name": value}.')
    return inputs
