"""The body of `POST /v1/chat/completions`, read strictly: a mistake is one clear error with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast

import msgspec

from tidemill.core.chat import ToolDefinition
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.parts import Message
from tidemill.serve.chat_parts import WireMessage, read_message

_SAMPLING: Final = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "logprobs", "top_logprobs", "logit_bias",
    "presence_penalty", "frequency_penalty", "reasoning_effort", "verbosity",
)  # fmt: skip


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _Function(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    parameters: dict[str, object] = {}


class _Tool(msgspec.Struct, frozen=True):
    type: Literal["function"]
    function: _Function


class _Body(msgspec.Struct, frozen=True):
    messages: list[WireMessage]
    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    user: str | None = None
    metadata: dict[str, object] | None = None
    tools: list[_Tool] | None = None
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatCall:
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
    extra: JsonObject = field(default_factory=dict[str, Json])
    unsayable: tuple[Problem, ...] = ()

    @property
    def question(self) -> Message | None:
        """The last message of the user."""
        return next((each for each in reversed(self.messages) if each.role == "user"), None)


def read_chat_call(content: bytes) -> ChatCall:
    """Parse a body. Raises `Invalid`; its `where` is the place in the body, as in `messages[0].content`."""
    raw = parse_json(content, what="the request body")
    try:
        body = msgspec.convert(raw, _Body)
    except msgspec.ValidationError as error:
        raise _described(error) from error
    if not body.model:
        raise Invalid("the request names no model", where="model", hint="See GET /v1/models.")
    if body.n not in {None, 1}:
        raise Invalid(f"n is {body.n}, but one answer is given to a request", where="n", hint="Leave n out and ask again.")
    if not body.messages:
        raise Invalid("there is no message", where="messages", hint="Send at least one message of the user.")
    fields = cast("JsonObject", raw)
    return ChatCall(
        model=body.model,
        messages=tuple(read_message(each, where=f"messages[{index}]") for index, each in enumerate(body.messages)),
        stream=body.stream is True,
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
        params=_params(fields),
        tools=tuple(_tool(each) for each in body.tools or ()),
        tool_choice=_tool_choice(body.tool_choice),
        output_schema=_output_schema(body.response_format),
        inputs=_inputs(body.metadata),
        user=body.user,
    )


def _described(error: msgspec.ValidationError) -> Invalid:
    message, _, place = str(error).partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".")
    return Invalid(f"the request is wrong: {message}", where=where, hint="See the reference of the chat completions API.")


def _params(fields: JsonObject) -> JsonObject:
    params = {name: fields[name] for name in _SAMPLING if fields.get(name) is not None}
    if "max_completion_tokens" in params:
        params["max_tokens"] = params.pop("max_completion_tokens")
    return params


def _tool(tool: _Tool) -> ToolDefinition:
    function = tool.function
    return ToolDefinition(
        name=function.name, description=function.description, parameters=cast("JsonObject", function.parameters)
    )


def _tool_choice(choice: str | Mapping[str, object] | None) -> str | None:
    if choice is None or isinstance(choice, str):
        return choice
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
    inputs = cast("Json", (metadata or {}).get("inputs", {}))
    if isinstance(inputs, str):
        inputs = parse_json(inputs, what="metadata.inputs")
    if not isinstance(inputs, Mapping) or isinstance(inputs, Sequence):
        raise Invalid("metadata.inputs is not an object", where="metadata.inputs", hint='Send {"name": value}.')
    return inputs
