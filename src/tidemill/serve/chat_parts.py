"""Messages of the wire format, read into the project's own. What has no name here is kept, for a provider that knows it."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from typing import Final, Literal, cast
from urllib.parse import urlsplit

import msgspec

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import (
    Audio,
    File,
    Image,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Video,
)

NAME: Final = "openai.chat"
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_KNOWN: Final = frozenset({"role", "content", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", *_THOUGHTS})
_PLAIN: Final = frozenset({"role", "content"})
_ROLES: Final[Mapping[str, Role]] = {"developer": "system", "function": "tool"}


class WireMessage(msgspec.Struct, frozen=True):
    """One message as it is sent."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, object]] | None = None
    tool_calls: list[dict[str, object]] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: dict[str, object] | None = None
    function_call: dict[str, object] | None = None
    name: str | None = None


def read_message(message: WireMessage, fields: JsonObject, *, where: str) -> Message:
    """Parse one message; `fields` is the same as it was sent. Raises `Invalid` for content that is wrong, naming its place."""
    role = _ROLES.get(message.role) or cast("Role", message.role)
    if len(fields) == 2 and fields.keys() <= _PLAIN and role == message.role != "tool" and isinstance(message.content, str):
        return Message(role=role, parts=(Text(text=message.content),))
    parts = _content(message, where=where)
    rest = {name: value for name, value in fields.items() if name not in _KNOWN} if not fields.keys() <= _KNOWN else {}
    if message.role in _ROLES:
        rest = {**rest, "role": message.role}
    extra: JsonObject = {NAME: rest} if rest else {}
    if role == "tool":
        return Message(role=role, parts=(_result(message, parts, where=where),), extra=extra)
    said = (*_before(fields), *parts, *_after(message, where=where))
    if not said:
        raise Invalid(f"the message of role {message.role} is empty", where=f"{where}.content", hint="Send its text.")
    return Message(role=role, parts=said, extra=extra)


def _result(message: WireMessage, parts: tuple[Part, ...], *, where: str) -> ToolResult:
    call = message.tool_call_id or (message.name if message.role == "function" else None)
    if call is None:
        raise Invalid(f"a message of role {message.role} needs tool_call_id", where=where)
    text = "".join(each.text for each in parts if isinstance(each, Text))
    is_plain = all(isinstance(each, Text) and not each.extra for each in parts)
    return ToolResult(id=call, content=text, parts=() if is_plain else parts)


def _before(fields: JsonObject) -> Iterator[Part]:
    """What a model thought, which servers name in two ways."""
    for name in _THOUGHTS:
        thought = fields.get(name)
        if isinstance(thought, str) and thought:
            yield Reasoning(text=thought, extra={NAME: {"field": name}})
            return


def _after(message: WireMessage, *, where: str) -> Iterator[Part]:
    if message.refusal:
        yield Refusal(text=message.refusal)
    if message.audio is not None:
        spoken = message.audio.get("id")
        if not isinstance(spoken, str):
            raise Invalid("the message's audio names no id", where=f"{where}.audio", hint="Send the id of what was spoken.")
        yield Audio(media_type="audio/*", url=f"audio:{spoken}", extra={NAME: {"id": spoken}})
    for index, call in enumerate(message.tool_calls or ()):
        yield _call(call, where=f"{where}.tool_calls[{index}]")
    if message.function_call is not None:
        yield _function({"id": "call_0", "function": message.function_call}, "function", "arguments", where=where)


def _call(call: Mapping[str, object], *, where: str) -> ToolCall:
    kind = call.get("type", "function")
    if kind == "custom":
        made = _function(call, "custom", "input", where=where)
        return ToolCall(id=made.id, name=made.name, arguments=made.arguments, extra={NAME: {"type": "custom"}})
    if kind != "function":
        raise Invalid(f"a tool call of type {kind!r} is not known", where=where, hint="Send type function or custom.")
    return _function(call, "function", "arguments", where=where)


def _function(call: Mapping[str, object], holder: str, argument: str, *, where: str) -> ToolCall:
    arguments = _holder(call, holder, where=where).get(argument, "{}")
    if not isinstance(arguments, str):
        raise Invalid(f"the tool call's {argument} is not text", where=f"{where}.{holder}", hint="Send JSON as text.")
    rest = {name: cast("Json", each) for name, each in call.items() if name not in {"id", "type", holder, "index"}}
    return ToolCall(
        id=_string(call, "id", where=where),
        name=_string(_holder(call, holder, where=where), "name", where=f"{where}.{holder}"),
        arguments=arguments,
        extra={NAME: rest} if rest else {},
    )


def _content(message: WireMessage, *, where: str) -> tuple[Part, ...]:
    if message.content is None:
        return ()
    if isinstance(message.content, str):
        return (Text(text=message.content),)
    return tuple(_part(each, where=f"{where}.content[{index}]") for index, each in enumerate(message.content))


def _part(part: Mapping[str, object], *, where: str) -> Part:
    match part.get("type"):
        case "text":
            return Text(text=_string(part, "text", where=where), extra=_rest(part, "type", "text"))
        case "refusal":
            return Refusal(text=_string(part, "refusal", where=where))
        case "image_url":
            holder = _holder(part, "image_url", where=where)
            return _picture(Image, holder, _string(holder, "url", where=f"{where}.image_url"), where=where)
        case "video_url":
            holder = _holder(part, "video_url", where=where)
            return _picture(Video, holder, _string(holder, "url", where=f"{where}.video_url"), where=where)
        case "input_audio":
            holder = _holder(part, "input_audio", where=where)
            media_type = f"audio/{_string(holder, 'format', where=f'{where}.input_audio')}"
            return Audio(media_type=media_type, data=_string(holder, "data", where=f"{where}.input_audio"))
        case "file":
            return _file(part, where=where)
        case None:
            raise Invalid("a content part has no type", where=where, hint="Send text, image_url, input_audio or file.")
        case _:
            return Other(dialect=NAME, value=cast("JsonObject", part))


def _file(part: Mapping[str, object], *, where: str) -> Part:
    """A file with its content; one that the provider holds is its own to find."""
    holder = _holder(part, "file", where=where)
    if isinstance(holder.get("file_id"), str):
        return Other(dialect=NAME, value=cast("JsonObject", part))
    media_type, data = _data_url(_string(holder, "file_data", where=f"{where}.file"), where=where)
    name = holder.get("filename")
    return File(media_type=media_type, data=data, name=name if isinstance(name, str) else None)


def _rest(part: Mapping[str, object], *known: str) -> JsonObject:
    if len(part) <= len(known):
        return {}
    return {NAME: {name: cast("Json", value) for name, value in part.items() if name not in known}}


def _holder(part: Mapping[str, object], outer: str, *, where: str) -> Mapping[str, object]:
    holder = part.get(outer)
    if not isinstance(holder, Mapping):
        raise Invalid(f"the part needs {outer}, an object", where=where)
    return cast("Mapping[str, object]", holder)


def _string(holder: Mapping[str, object], name: str, *, where: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise Invalid(f"the part needs {name}, as text", where=where)
    return value


def _picture(kind: type[Image | Video], holder: Mapping[str, object], url: str, *, where: str) -> Image | Video:
    what, extra = kind.type, _rest(holder, "url")
    if url.startswith("data:"):
        media_type, data = _data_url(url, where=where)
        return kind(media_type=media_type, data=data, extra=extra)
    parsed = urlsplit(url)
    if parsed.scheme not in {"http", "https"}:
        raise Invalid(f"the {what}'s address {url[:80]!r} is not http, https or data", where=where)
    return kind(media_type=mimetypes.guess_type(parsed.path)[0] or f"{what}/*", url=url, extra=extra)


def _data_url(url: str, *, where: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    if not comma or not head.startswith("data:") or encoding != "base64":
        raise Invalid("the data is not a base64 data URL", where=where, hint="Send data:MEDIA/TYPE;base64,…")
    return media_type or "application/octet-stream", data
