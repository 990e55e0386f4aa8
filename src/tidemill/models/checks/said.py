"""What of requests and answers is text, and the same request or answer with other text.

Each function shows every text to a `See` and puts what that gives in its place; what does not change stays the same object.
Neighbouring parts of text are shown together, since they are read as one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar, cast

import orjson
from msgspec.structs import replace

from tidemill.core.chat import ChatRequest, ChatResponse, Choice, ToolDefinition
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import File, Message, Other, Part, Reasoning, Refusal, Role, Text, ToolCall, ToolResult

See: TypeAlias = Callable[[str, Sequence[str]], Sequence[str]]
"""Is shown the texts that one role says in one breath; gives what is to stand there."""

P = TypeVar("P")
_NOT_SAID: Final = frozenset(
    "model type role id name object status format media_type mime_type detail cache_control signature thought_signature"
    " encrypted_content redacted_thinking tool_use_id tool_call_id call_id item_id file_id response_id previous_response_id"
    " stop_reason finish_reason stop stop_sequences user safety_identifier prompt_cache_key prompt_cache_retention"
    " service_tier tool_choice reasoning_effort verbosity include truncation modalities betas encoding_format"
    " system_fingerprint fingerprint created model_version".split()
)
"""Fields whose text no model reads as words, or that only say how it is to answer; an object under such a name is read."""
_ASIDE: Final = frozenset({"metadata", "stream_options", "tool_choice", "logit_bias"})
_CONTENT: Final = frozenset({"data", "url", "image_url", "file_data"})
_TOOL_USES: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


def in_request(request: ChatRequest, see: See) -> ChatRequest:
    """Messages, what tools answered and are for, the schema of the answer, and what only one dialect says."""
    messages = _each(request.messages, lambda message: in_message(message, see))
    tools = _each(request.tools, lambda tool: _tool(tool, see))
    extra, schema = in_fields(request.extra, see), request.output_schema
    if schema is not None:
        schema = in_fields(schema, see, role="system")
    same = messages is request.messages and tools is request.tools and extra is request.extra
    if same and schema is request.output_schema:
        return request
    return replace(request, messages=messages, tools=tools, extra=extra, output_schema=schema)


def in_message(message: Message, see: See) -> Message:
    """The parts of a message, and what only its dialect says."""
    parts = _parts(message.parts, message.role, see)
    extra = in_fields(message.extra, see, role=message.role)
    if parts is message.parts and extra is message.extra:
        return message
    return replace(message, parts=parts, extra=extra)


def in_response(response: ChatResponse, see: See) -> ChatResponse:
    """Every answer; the tokens of one that changes would tell what stood there, and are left out."""
    message, others = in_message(response.message, see), _each(response.others, lambda choice: _choice(choice, see))
    extra = in_fields(response.extra, see, role="assistant")
    if message is response.message and others is response.others and extra is response.extra:
        return response
    logprobs = response.logprobs if message is response.message else ()
    return replace(response, message=message, others=others, extra=extra, logprobs=logprobs)


def in_part(part: Part, role: Role, see: See) -> Part:
    """One part by itself."""
    return _parts((part,), role, see)[0]


def in_text(text: str, role: str, see: See) -> str:
    """One text by itself."""
    return _one(text, role, see)


def in_arguments(text: str, role: str, see: See) -> str:
    """The arguments of a call: every text in the JSON, or the whole where it is none."""
    try:
        value = cast("Json", orjson.loads(text))
    except orjson.JSONDecodeError:
        return _one(text, role, see)
    changed = _all(value, role, see)
    return text if changed is value else orjson.dumps(changed).decode()


def in_values(values: JsonObject, role: str, see: See) -> JsonObject:
    """Every text in JSON that somebody wrote freely, such as the inputs of a chain."""
    return cast("JsonObject", _all(values, role, see)) if values else values


def in_fields(fields: JsonObject, see: See, *, role: str = "user") -> JsonObject:
    """JSON as a dialect writes it: every text that may be words."""
    return cast("JsonObject", _value(fields, role, see)) if fields else fields


def _choice(choice: Choice, see: See) -> Choice:
    message, extra = in_message(choice.message, see), in_fields(choice.extra, see, role="assistant")
    if message is choice.message and extra is choice.extra:
        return choice
    return replace(choice, message=message, extra=extra, logprobs=())


def _tool(tool: ToolDefinition, see: See) -> ToolDefinition:
    description = _one(tool.description, "system", see)
    parameters, extra = in_fields(tool.parameters, see, role="system"), in_fields(tool.extra, see, role="system")
    if description is tool.description and parameters is tool.parameters and extra is tool.extra:
        return tool
    return replace(tool, description=description, parameters=parameters, extra=extra)


def _parts(parts: tuple[Part, ...], role: str, see: See) -> tuple[Part, ...]:
    changed: list[Part] = []
    texts: list[Text] = []

    def flush() -> None:
        if texts:
            changed.extend(_texts(texts, role, see))
            texts.clear()

    for part in parts:
        if isinstance(part, Text):
            texts.append(part)
        else:
            flush()
            changed.append(_part(part, role, see))
    flush()
    return parts if all(one is other for one, other in zip(parts, changed, strict=True)) else tuple(changed)


def _texts(parts: Sequence[Text], role: str, see: See) -> list[Text]:
    said = [each.text for each in parts]
    made: list[Text] = []
    for part, new in zip(parts, see(role, said), strict=True):
        extra = in_fields(part.extra, see, role=role)
        made.append(part if new == part.text and extra is part.extra else replace(part, text=new, extra=extra))
    return made


def _part(part: Part, role: str, see: See) -> Part:
    if isinstance(part, Other):
        value = in_fields(part.value, see, role=role)
        return part if value is part.value else replace(part, value=value)
    extra = in_fields(part.extra, see, role=role)
    changed: Part = part if extra is part.extra else replace(part, extra=extra)
    match changed:
        case Refusal():
            text = _one(changed.text, role, see)
            return changed if text is changed.text else replace(changed, text=text)
        case Reasoning():
            text = _one(changed.text, role, see)  # a seal holds for the thought as it was
            return changed if text is changed.text else replace(changed, text=text, signature=None)
        case ToolCall():
            arguments = in_arguments(changed.arguments, role, see)
            return changed if arguments is changed.arguments else replace(changed, arguments=arguments)
        case ToolResult():
            return _result(changed, see)
        case File(data=str()) if changed.media_type.startswith("text/"):
            return _document(changed, role, see)
        case _:
            return changed


def _result(part: ToolResult, see: See) -> ToolResult:
    if not part.parts:
        content = _one(part.content, "tool", see)
        return part if content is part.content else replace(part, content=content)
    parts = _parts(part.parts, "tool", see)
    if parts is part.parts:
        return part
    return replace(part, parts=parts, content="".join(each.text for each in parts if isinstance(each, Text)))


def _document(part: File, role: str, see: See) -> File:
    """A text that came as a file."""
    try:
        text = base64.b64decode(part.data or "", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return part
    changed = _one(text, role, see)
    if changed is text:
        return part
    return replace(part, data=base64.b64encode(changed.encode("utf-8", "surrogatepass")).decode())


def _value(value: Json, role: str, see: See) -> Json:
    """Whatever may be words in JSON of a dialect: not names, numbers of things, or bytes written as text."""
    if isinstance(value, str):
        return _one(value, role, see)
    if isinstance(value, Mapping):
        return _object(value, role, see)
    if isinstance(value, Sequence):
        return _list(value, lambda each: _value(each, role, see))
    return value


def _object(value: JsonObject, role: str, see: See) -> JsonObject:
    speaker = value.get("role")
    role = speaker if isinstance(speaker, str) else role
    kind = value.get("type")
    if kind in {"tool_result", "function_call_output"}:
        role = "tool"
    changed: dict[str, Json] = {}
    for name, each in value.items():
        if (
            name in _ASIDE
            or (name in _NOT_SAID and not isinstance(each, Mapping))
            or (name in _CONTENT and _is_bytes(value, each))
        ):
            new = each
        elif name == "arguments" and isinstance(each, str):
            new = in_arguments(each, role, see)
        elif name == "input" and kind in _TOOL_USES:
            new = _all(each, role, see)
        else:
            new = _value(each, role, see)
        if new is not each:
            changed[name] = new
    return {**value, **changed} if changed else value


def _is_bytes(holder: JsonObject, value: Json) -> bool:
    """Whether a text is content that is not text: base64, or an address that holds it."""
    if not isinstance(value, str):
        return False
    return holder.get("type") == "base64" or "format" in holder or (value.startswith("data:") and ";base64," in value[:200])


def _all(value: Json, role: str, see: See) -> Json:
    """Every text in JSON that a model or a client wrote freely."""
    if isinstance(value, str):
        return _one(value, role, see)
    if isinstance(value, Mapping):
        changed = {name: new for name, each in value.items() if (new := _all(each, role, see)) is not each}
        return {**value, **changed} if changed else value
    if isinstance(value, Sequence):
        return _list(value, lambda each: _all(each, role, see))
    return value


def _one(text: str, role: str, see: See) -> str:
    if not text:
        return text
    (new,) = see(role, (text,))
    return text if new == text else new


def _list(values: Sequence[Json], change: Callable[[Json], Json]) -> Sequence[Json]:
    changed = [change(each) for each in values]
    return values if all(one is other for one, other in zip(values, changed, strict=True)) else changed


def _each(values: tuple[P, ...], change: Callable[[P], P]) -> tuple[P, ...]:
    changed = tuple(change(each) for each in values)
    return values if all(one is other for one, other in zip(values, changed, strict=True)) else changed
