"""Content blocks of `/v1/messages`, read into parts. What has no name here is kept as it was written, as `Other`."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import File, Image, Other, Part, Reasoning, Text, ToolCall, ToolResult
from tidemill.serve.dialects.fields import flag, needed_object, needed_text, objects, optional_text, place

NAME: Final = "anthropic.messages"


def read_content(value: Json, *, where: str) -> tuple[Part, ...]:
    """Text, or a list of blocks."""
    if isinstance(value, str):
        return (Text(text=value),)
    return tuple(_block(each, at) for at, each in objects(value, where=where))


def kept(holder: JsonObject, named: frozenset[str]) -> JsonObject:
    """The fields that we have no name for, as `extra` holds them."""
    rest = {name: value for name, value in holder.items() if name not in named and value is not None}
    return {NAME: rest} if rest else {}


def _block(block: JsonObject, where: str) -> Part:
    kind = needed_text(block, "type", where=where)
    read = _READERS.get(kind)
    return Other(dialect=NAME, value=block) if read is None else read(block, where)


def _text(block: JsonObject, where: str) -> Part:
    return Text(text=needed_text(block, "text", where=where), extra=kept(block, _TEXT))


def _thinking(block: JsonObject, where: str) -> Part:
    return Reasoning(
        text=needed_text(block, "thinking", where=where),
        signature=optional_text(block, "signature", where=where),
        extra=kept(block, _THINKING),
    )


def _redacted(block: JsonObject, where: str) -> Part:
    return Reasoning(data=needed_text(block, "data", where=where))


def _tool_use(block: JsonObject, where: str) -> Part:
    return ToolCall(
        id=needed_text(block, "id", where=where),
        name=needed_text(block, "name", where=where),
        arguments=orjson.dumps(needed_object(block, "input", where=where)).decode(),
        extra=kept(block, _TOOL_USE),
    )


def _tool_result(block: JsonObject, where: str) -> Part:
    content = block.get("content")
    parts = () if content is None else read_content(content, where=place(where, "content"))
    plain = all(isinstance(each, Text) and not each.extra for each in parts)
    return ToolResult(
        id=needed_text(block, "tool_use_id", where=where),
        content="".join(each.text for each in parts if isinstance(each, Text)),
        is_error=flag(block, "is_error", where=where),
        parts=() if plain and len(parts) < 2 else parts,
        extra=kept(block, _TOOL_RESULT),
    )


def _image(block: JsonObject, where: str) -> Part:
    source = needed_object(block, "source", where=where)
    at, extra = place(where, "source"), kept(block, _IMAGE)
    match needed_text(source, "type", where=at):
        case "base64":
            data = needed_text(source, "data", where=at)
            return Image(media_type=needed_text(source, "media_type", where=at), data=data, extra=extra)
        case "url":
            url = needed_text(source, "url", where=at)
            return Image(media_type=_type_of(url, "image/*"), url=url, extra=extra)
        case _:
            return Other(dialect=NAME, value=block)


def _document(block: JsonObject, where: str) -> Part:
    source = needed_object(block, "source", where=where)
    at, extra = place(where, "source"), kept(block, _DOCUMENT)
    title = optional_text(block, "title", where=where)
    match needed_text(source, "type", where=at):
        case "base64":
            data = needed_text(source, "data", where=at)
            return File(media_type=needed_text(source, "media_type", where=at), data=data, name=title, extra=extra)
        case "text":
            data = base64.b64encode(needed_text(source, "data", where=at).encode("utf-8", "surrogatepass")).decode()
            return File(media_type="text/plain", data=data, name=title, extra=extra)
        case "url":
            url = needed_text(source, "url", where=at)
            return File(media_type=_type_of(url, "application/pdf"), url=url, name=title, extra=extra)
        case _:
            return Other(dialect=NAME, value=block)


def _type_of(url: str, otherwise: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"the address {url[:80]!r} is not http or https", hint="Send the content itself as base64.")
    return mimetypes.guess_type(url.partition("?")[0])[0] or otherwise


_TEXT: Final = frozenset({"type", "text"})
_THINKING: Final = frozenset({"type", "thinking", "signature"})
_TOOL_USE: Final = frozenset({"type", "id", "name", "input"})
_TOOL_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error"})
_IMAGE: Final = frozenset({"type", "source"})
_DOCUMENT: Final = frozenset({"type", "source", "title"})

_READERS: Final[Mapping[str, Callable[[JsonObject, str], Part]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
