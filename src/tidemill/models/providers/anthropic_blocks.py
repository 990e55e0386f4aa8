"""Parts of a message as Anthropic's content blocks, and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import File, Image, Media, Other, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from tidemill.models.arguments import arguments_of
from tidemill.models.reading import as_text, child, text

NAME: Final = "anthropic.messages"


def block_of(part: Part) -> JsonObject | None:
    """A part as a block; None for what says nothing here: empty text, a thought without a seal, another dialect's own."""
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text, **_said(part)} if part.text.strip() else None
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments_of(part), **_said(part)}
        case ToolResult():
            return _result(part)
        case Image():
            return {"type": "image", "source": _source(part), **_said(part)}
        case File():
            title: JsonObject = {"title": part.name} if part.name else {}
            return {"type": "document", "source": _source(part), **title, **_said(part)}
        case Reasoning():
            return _thought(part)
        case Other():
            return part.value if part.dialect == NAME else None
        case _:
            hint = "Send text, images and documents only."
            raise Invalid(f"anthropic takes no {part.type}", hint=hint, kind="invalid")


def comes_later(block: JsonObject) -> bool:
    """Whether a block stands behind what tools answered."""
    return block.get("type") != "tool_result"


def _said(part: Text | Refusal | ToolCall | ToolResult | Media | Reasoning) -> JsonObject:
    return child(part.extra, NAME)


def _thought(part: Reasoning) -> JsonObject | None:
    """A thought; None for one that another provider sealed, whose seal has its name before it."""
    if part.data is not None:
        return {"type": "redacted_thinking", "data": part.data}
    if not part.signature or ":" in part.signature:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature, **_said(part)}


def _result(part: ToolResult) -> JsonObject:
    content: Json = part.content
    if part.parts:
        content = [block for each in part.parts if (block := block_of(each)) is not None]
    return {"type": "tool_result", "tool_use_id": part.id, "content": content, "is_error": part.is_error, **_said(part)}


def _source(part: Media) -> JsonObject:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.media_type == "text/plain" and part.data is not None:
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(part.data).decode()}
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Invalid(f"the document is not base64 of UTF-8 text: {error}", kind="invalid") from error
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


_NAMED: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text"}), "thinking": frozenset({"type", "thinking", "signature"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}  # fmt: skip


def part_of(block: JsonObject) -> Part:
    """A block of an answer as a part."""
    kind = text(block, "type")
    rest: dict[str, Json] = {
        name: value for name, value in block.items() if name not in _NAMED.get(kind, frozenset()) and value is not None
    }
    extra: JsonObject = {NAME: rest} if rest else {}
    match kind:
        case "text":
            return Text(text=text(block, "text"), extra=extra)
        case "thinking":
            return Reasoning(text=text(block, "thinking"), signature=text(block, "signature") or None, extra=extra)
        case "redacted_thinking":
            return Reasoning(data=text(block, "data"))
        case "tool_use":
            arguments = as_text(block.get("input"))
            return ToolCall(id=text(block, "id"), name=text(block, "name"), arguments=arguments, extra=extra)
        case _:
            return Other(dialect=NAME, value=block)
