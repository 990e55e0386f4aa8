"""Messages and their parts: what goes into a model and what comes out, in every modality.

Binary content is held by digest (a blob), by URL, or inline as base64 `data`; exactly one of the three.

`extra` keeps what a dialect says and we have no name for, under the dialect's name: `{"anthropic.messages": {"cache_control":
{…}}}`. It is written back in the same dialect, and is lost in any other. Empty, it is not written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, cast

import msgspec

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
_JSON = frozenset({"extra", "value"})


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """Has a hash by all that is not JSON."""

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__struct_fields__ if name not in _JSON)))


class Text(_Said, frozen=True, kw_only=True):
    """Plain text."""

    type: ClassVar[str] = "text"
    text: str
    extra: JsonObject = {}


class Reasoning(_Said, frozen=True, kw_only=True):
    """What a model thought before it answered.

    `signature` is the provider's seal, without which it may not take the thought back; `data` is a thought that it gave sealed
    and unreadable, with an empty `text`.
    """

    type: ClassVar[str] = "reasoning"
    text: str = ""
    signature: str | None = None
    data: str | None = None
    extra: JsonObject = {}


class Refusal(_Said, frozen=True, kw_only=True):
    """The model's own words for why it does not answer, where the provider tells them apart from an answer."""

    type: ClassVar[str] = "refusal"
    text: str
    extra: JsonObject = {}


class Media(_Said, frozen=True, kw_only=True):
    """What image, audio, video and file parts share."""

    type: ClassVar[str] = "media"
    media_type: str
    blob: str | None = None
    url: str | None = None
    data: str | None = None
    name: str | None = None
    extra: JsonObject = {}

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.blob, self.url, self.data)) != 1:
            raise Invalid(f"a {self.type} part needs exactly one of blob, url and data")


class Image(Media, frozen=True, kw_only=True):
    """A still picture."""

    type: ClassVar[str] = "image"


class Audio(Media, frozen=True, kw_only=True):
    """Sound."""

    type: ClassVar[str] = "audio"


class Video(Media, frozen=True, kw_only=True):
    """Moving pictures."""

    type: ClassVar[str] = "video"


class File(Media, frozen=True, kw_only=True):
    """Any other document, such as a PDF."""

    type: ClassVar[str] = "file"


class ToolCall(_Said, frozen=True, kw_only=True):
    """A model asks for a tool. `arguments` is the JSON text as the model wrote it, which may be broken."""

    type: ClassVar[str] = "tool_call"
    id: str
    name: str
    arguments: str
    extra: JsonObject = {}


class ToolResult(_Said, frozen=True, kw_only=True):
    """What a tool answered, for the call with the same `id`.

    `content` is its text; `parts` is the whole where there is more than text, such as pictures, and empty otherwise.
    """

    type: ClassVar[str] = "tool_result"
    id: str
    content: str
    is_error: bool = False
    parts: tuple[Part, ...] = ()
    extra: JsonObject = {}


class Other(_Said, frozen=True, kw_only=True):
    """What one dialect has and the others have not, as it was written: a search that the provider made, a container's file.

    `dialect` is its name, as in `openai.responses`.
    """

    type: ClassVar[str] = "other"
    dialect: str
    value: JsonObject


Part: TypeAlias = Text | Image | Audio | Video | File | ToolCall | ToolResult | Reasoning | Refusal | Other
_CLASSES: tuple[type[Part], ...] = (Text, Image, Audio, Video, File, ToolCall, ToolResult, Reasoning, Refusal, Other)
_PARTS: Mapping[str, type[Part]] = {each.type: each for each in _CLASSES}
_FIELDS: Mapping[type[Part], tuple[str, ...]] = {
    each: tuple(one for one in each.__struct_fields__ if one not in {"parts", "extra"}) for each in _CLASSES
}


class Message(_Said, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...] = ()
    extra: JsonObject = {}

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        """A message of one text."""
        return cls(role=role, parts=(Text(text=text),))

    @property
    def text(self) -> str:
        """All its text, joined; that of a refusal too, but not what the model thought."""
        return "".join(part.text for part in self.parts if isinstance(part, Text | Refusal))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that it asks for."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


def part_to_json(part: Part) -> JsonObject:
    """A part as JSON: its `type` and its fields, without those that are None, and without an empty `parts` or `extra`."""
    written: dict[str, Json] = {"type": part.type}
    for name in _FIELDS[type(part)]:
        value = getattr(part, name)
        if value is not None:
            written[name] = value
    if isinstance(part, ToolResult) and part.parts:
        written["parts"] = [part_to_json(each) for each in part.parts]
    if not isinstance(part, Other) and part.extra:
        written["extra"] = part.extra
    return written


def message_to_json(message: Message) -> JsonObject:
    """`{"role", "content"}`, and `extra` if there is any; content is text when that is all there is, else the list of parts."""
    parts = message.parts
    content: Json
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].extra:
        content = parts[0].text
    else:
        content = [part_to_json(part) for part in parts]
    if message.extra:
        return {"role": message.role, "content": content, "extra": message.extra}
    return {"role": message.role, "content": content}


def message_from_json(value: Json, *, where: str = "message") -> Message:
    """Parse what `message_to_json` writes. Raises `Invalid`, naming `where`."""
    if not isinstance(value, Mapping) or set(value) - {"role", "content", "extra"}:
        raise Invalid("a message is an object with role and content", where=where)
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise Invalid(f"the role {role!r} is not known", where=where, hint=f"Known: {', '.join(ROLES)}.")
    extra = _extra(value, where=where)
    if isinstance(content, str):
        return Message(role=role, parts=(Text(text=content),), extra=extra)
    if not isinstance(content, Sequence):
        raise Invalid("content is text or a list of parts", where=where)
    return Message(role=role, parts=tuple(_part_from_json(each, where=where) for each in content), extra=extra)


def _extra(value: JsonObject, *, where: str) -> JsonObject:
    extra = value.get("extra", {})
    if not isinstance(extra, Mapping):
        raise Invalid("extra is an object: by dialect, what only that dialect says", where=where)
    return extra


def _part_from_json(value: Json, *, where: str) -> Part:
    kind = value.get("type") if isinstance(value, Mapping) else None
    made = _PARTS.get(kind) if isinstance(kind, str) else None
    if made is None or not isinstance(value, Mapping):
        raise Invalid(f"the part {value!r} has no known type", where=where, hint=f"Known: {', '.join(_PARTS)}.")
    values: dict[str, object] = {name: each for name, each in value.items() if name != "type"}
    if "extra" in values:
        values["extra"] = _extra(value, where=where)
    if "parts" in values:
        inner = value["parts"]
        if not isinstance(inner, Sequence) or isinstance(inner, str):
            raise Invalid("parts is a list of parts", where=where)
        values["parts"] = tuple(_part_from_json(each, where=where) for each in inner)
    try:
        return made(**cast("dict[str, Any]", values))
    except TypeError as error:
        raise Invalid(f"the {kind} part has wrong fields: {', '.join(values)}", where=where) from error
