"""Messages and their parts: what goes into a model and what comes out, in every modality.

Binary content is held by digest (a blob), by URL, or inline as base64 `data`; exactly one of the three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias, cast

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Plain text."""

    type: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """What image, audio, video and file parts share."""

    type: ClassVar[str] = "media"
    media_type: str
    blob: str | None = None
    url: str | None = None
    data: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.blob, self.url, self.data)) != 1:
            raise Invalid(f"a {self.type} part needs exactly one of blob, url and data")


@dataclass(frozen=True, kw_only=True, slots=True)
class Image(Media):
    """A still picture."""

    type: ClassVar[str] = "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio(Media):
    """Sound."""

    type: ClassVar[str] = "audio"


@dataclass(frozen=True, kw_only=True, slots=True)
class Video(Media):
    """Moving pictures."""

    type: ClassVar[str] = "video"


@dataclass(frozen=True, kw_only=True, slots=True)
class File(Media):
    """Any other document, such as a PDF."""

    type: ClassVar[str] = "file"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A model asks for a tool. `arguments` is the JSON text as the model wrote it, which may be broken."""

    type: ClassVar[str] = "tool_call"
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """What a tool answered, for the call with the same `id`."""

    type: ClassVar[str] = "tool_result"
    id: str
    content: str
    is_error: bool = False


Part: TypeAlias = Text | Image | Audio | Video | File | ToolCall | ToolResult
_PARTS: Mapping[str, type[Part]] = {each.type: each for each in (Text, Image, Audio, Video, File, ToolCall, ToolResult)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...] = field(default=())

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        """A message of one text."""
        return cls(role=role, parts=(Text(text=text),))

    @property
    def text(self) -> str:
        """All its text, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that it asks for."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


def part_to_json(part: Part) -> JsonObject:
    """A part as JSON: its `type` and its fields, without those that are None."""
    values = {each.name: getattr(part, each.name) for each in fields(part)}
    return {"type": part.type, **{name: value for name, value in values.items() if value is not None}}


def message_to_json(message: Message) -> JsonObject:
    """`{"role", "content"}`; content is text when that is all there is, else the list of parts."""
    if len(message.parts) == 1 and isinstance(message.parts[0], Text):
        return {"role": message.role, "content": message.parts[0].text}
    return {"role": message.role, "content": [part_to_json(part) for part in message.parts]}


def message_from_json(value: Json, *, where: str = "message") -> Message:
    """Parse what `message_to_json` writes. Raises `Invalid`, naming `where`."""
    if not isinstance(value, Mapping) or set(value) - {"role", "content"}:
        raise Invalid("a message is an object with role and content", where=where)
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise Invalid(f"the role {role!r} is not known", where=where, hint=f"Known: {', '.join(ROLES)}.")
    if isinstance(content, str):
        return Message.of(role, content)
    if not isinstance(content, Sequence):
        raise Invalid("content is text or a list of parts", where=where)
    return Message(role=role, parts=tuple(_part_from_json(each, where=where) for each in content))


def _part_from_json(value: Json, *, where: str) -> Part:
    kind = value.get("type") if isinstance(value, Mapping) else None
    made = _PARTS.get(kind) if isinstance(kind, str) else None
    if made is None or not isinstance(value, Mapping):
        raise Invalid(f"the part {value!r} has no known type", where=where, hint=f"Known: {', '.join(_PARTS)}.")
    values = {name: each for name, each in value.items() if name != "type"}
    try:
        return made(**cast("dict[str, Any]", values))
    except TypeError as error:
        raise Invalid(f"the {kind} part has wrong fields: {', '.join(values)}", where=where) from error
