"""Messages of the wire format, read into the project's own."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Final, Literal, cast
from urllib.parse import urlsplit

import msgspec

from tidemill.core.errors import Invalid
from tidemill.core.parts import Audio, File, Image, Message, Part, Role, Text, ToolCall, ToolResult

_KNOWN: Final = "text, refusal, image_url, input_audio, file"


class _Called(msgspec.Struct, frozen=True):
    name: str
    arguments: str = "{}"


class WireCall(msgspec.Struct, frozen=True):
    """A tool call in an assistant's message."""

    id: str
    function: _Called
    type: Literal["function"] = "function"


class WireMessage(msgspec.Struct, frozen=True):
    """One message as it is sent."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, object]] | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None


def read_message(message: WireMessage, *, where: str) -> Message:
    """Parse one message. Raises `Invalid` for content that is not understood, naming its place."""
    role: Role = "system" if message.role == "developer" else message.role
    parts = _content(message, where=where)
    if role == "tool":
        if message.tool_call_id is None:
            raise Invalid("a message of role tool needs tool_call_id", where=where)
        text = "".join(each.text for each in parts if isinstance(each, Text))
        return Message(role=role, parts=(ToolResult(id=message.tool_call_id, content=text),))
    called = tuple(
        ToolCall(id=each.id, name=each.function.name, arguments=each.function.arguments) for each in message.tool_calls or ()
    )
    if not parts and not called:
        raise Invalid(f"the message of role {message.role} is empty", where=f"{where}.content", hint="Send its text.")
    return Message(role=role, parts=(*parts, *called))


def _content(message: WireMessage, *, where: str) -> tuple[Part, ...]:
    if message.content is None:
        return ()
    if isinstance(message.content, str):
        return (Text(text=message.content),)
    return tuple(_part(each, where=f"{where}.content[{index}]") for index, each in enumerate(message.content))


def _part(part: Mapping[str, object], *, where: str) -> Part:
    kind = part.get("type")
    match kind:
        case "text":
            return Text(text=_string(part, "text", where=where))
        case "refusal":
            return Text(text=_string(part, "refusal", where=where))
        case "image_url":
            return _image(_field(part, "image_url", "url", where=where), where=where)
        case "input_audio":
            media_type = f"audio/{_field(part, 'input_audio', 'format', where=where)}"
            return Audio(media_type=media_type, data=_field(part, "input_audio", "data", where=where))
        case "file":
            media_type, data = _data_url(_field(part, "file", "file_data", where=where), where=where)
            return File(media_type=media_type, data=data)
        case _:
            raise Invalid(f"a content part of type {kind!r} is not supported", where=where, hint=f"Supported: {_KNOWN}.")


def _field(part: Mapping[str, object], outer: str, inner: str, *, where: str) -> str:
    holder = part.get(outer)
    if not isinstance(holder, Mapping):
        raise Invalid(f"the part needs {outer}, an object", where=where)
    return _string(cast("Mapping[str, object]", holder), inner, where=f"{where}.{outer}")


def _string(holder: Mapping[str, object], name: str, *, where: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise Invalid(f"the part needs {name}, as text", where=where)
    return value


def _image(url: str, *, where: str) -> Image:
    if url.startswith("data:"):
        media_type, data = _data_url(url, where=where)
        return Image(media_type=media_type, data=data)
    parsed = urlsplit(url)
    if parsed.scheme not in {"http", "https"}:
        raise Invalid(f"the image's address {url[:80]!r} is not http, https or data", where=where)
    return Image(media_type=mimetypes.guess_type(parsed.path)[0] or "image/*", url=url)


def _data_url(url: str, *, where: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    if not comma or not head.startswith("data:") or encoding != "base64":
        raise Invalid("the data is not a base64 data URL", where=where, hint="Send data:MEDIA/TYPE;base64,…")
    return media_type or "application/octet-stream", data
