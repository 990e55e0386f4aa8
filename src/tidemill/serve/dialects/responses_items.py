"""The input of `/v1/responses`, read into messages. Items that have no name here are kept as they were written, as `Other`."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, File, Image, Message, Other, Part, Reasoning, Refusal, Role, Text, ToolCall, ToolResult
from tidemill.serve.dialects.fields import needed_object, needed_text, objects, optional_text, place

NAME: Final = "openai.responses"
SIGNATURE: Final = "signature:"
"""What marks, in `encrypted_content`, the seal of a thought whose words the summary holds."""
SEALED: Final = "sealed:"
"""What marks, in `encrypted_content`, a thought that another dialect's provider gave unreadable."""

_ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def read_input(value: Json) -> list[Message]:
    """Text, or a list of items; what belongs to one turn of the model is one message."""
    if isinstance(value, str):
        return [Message.of("user", value)]
    messages: list[Message] = []
    turn: list[Part] = []
    for where, item in objects(value, where="input"):
        said = _of_the_model(item, where)
        if said is not None:
            turn.extend(said)
            continue
        if turn:
            messages.append(Message(role="assistant", parts=tuple(turn)))
            turn = []
        messages.append(_of_others(item, where))
    if turn:
        messages.append(Message(role="assistant", parts=tuple(turn)))
    return messages


def _of_the_model(item: JsonObject, where: str) -> tuple[Part, ...] | None:
    """The parts of an item that the model made; None for one that somebody else did."""
    match item.get("type", "message"):
        case "message":
            return _content(item, where) if item.get("role") == "assistant" else None
        case "function_call":
            return (
                ToolCall(
                    id=needed_text(item, "call_id", where=where),
                    name=needed_text(item, "name", where=where),
                    arguments=needed_text(item, "arguments", where=where),
                    extra=_kept(item, _CALL),
                ),
            )
        case "reasoning":
            return (_reasoning(item, where),)
        case "function_call_output":
            return None
        case "item_reference":
            raise Invalid(
                "answers are not kept here, so an item cannot be named by its id",
                where=where,
                hint="Send the item itself, with its content.",
            )
        case _:
            return (Other(dialect=NAME, value=item),)


def _of_others(item: JsonObject, where: str) -> Message:
    if item.get("type") == "function_call_output":
        return Message(role="tool", parts=(_result(item, where),))
    role = needed_text(item, "role", where=where)
    if role not in _ROLES:
        raise Invalid(f"the role {role!r} is not known", where=place(where, "role"), hint=f"Known: {', '.join(_ROLES)}.")
    parts = _content(item, where)
    if not parts:
        raise Invalid(f"the message of role {role} is empty", where=place(where, "content"), hint="Send its text.")
    return Message(role=_ROLES[role], parts=parts)


def _result(item: JsonObject, where: str) -> ToolResult:
    output = item.get("output")
    parts = (Text(text=output),) if isinstance(output, str) else _parts(output, place(where, "output"))
    plain = all(isinstance(each, Text) and not each.extra for each in parts)
    return ToolResult(
        id=needed_text(item, "call_id", where=where),
        content="".join(each.text for each in parts if isinstance(each, Text)),
        parts=() if plain and len(parts) < 2 else parts,
        extra=_kept(item, _RESULT),
    )


def _reasoning(item: JsonObject, where: str) -> Reasoning:
    """A thought: its words are the summary, or the whole where a provider shows that; a seal is beside them."""
    words = [*objects(item.get("summary"), where=place(where, "summary")), *objects(item.get("content"), where=where)]
    sealed = optional_text(item, "encrypted_content", where=where) or ""
    return Reasoning(
        text="\n\n".join(needed_text(each, "text", where=at) for at, each in words),
        signature=sealed.removeprefix(SIGNATURE) if sealed.startswith(SIGNATURE) else None,
        data=sealed.removeprefix(SEALED) if sealed.startswith(SEALED) else None,
        extra={NAME: item},
    )


def _content(item: JsonObject, where: str) -> tuple[Part, ...]:
    content = item.get("content")
    return (Text(text=content),) if isinstance(content, str) else _parts(content, place(where, "content"))


def _parts(value: Json, where: str) -> tuple[Part, ...]:
    return tuple(_part(each, at) for at, each in objects(value, where=where))


def _part(part: JsonObject, where: str) -> Part:
    kind = needed_text(part, "type", where=where)
    read = _READERS.get(kind)
    return Other(dialect=NAME, value=part) if read is None else read(part, where)


def _text(part: JsonObject, where: str) -> Part:
    return Text(text=needed_text(part, "text", where=where), extra=_kept(part, _TEXT))


def _refusal(part: JsonObject, where: str) -> Part:
    return Refusal(text=needed_text(part, "refusal", where=where))


def _image(part: JsonObject, where: str) -> Part:
    url = optional_text(part, "image_url", where=where)
    if url is None:
        return Other(dialect=NAME, value=part)
    extra = _kept(part, _IMAGE)
    if extra:
        extra = {**extra, "openai.chat": extra[NAME]}  # where `detail` is said alike
    if url.startswith("data:"):
        media_type, data = _data_url(url, where)
        return Image(media_type=media_type, data=data, extra=extra)
    return Image(media_type=_type_of(url, "image/*", where), url=url, extra=extra)


def _file(part: JsonObject, where: str) -> Part:
    name, extra = optional_text(part, "filename", where=where), _kept(part, _FILE)
    given = optional_text(part, "file_data", where=where)
    if given is not None:
        guessed = mimetypes.guess_type(name or "")[0] or "application/pdf"
        media_type, data = _data_url(given, where) if given.startswith("data:") else (guessed, given)
        return File(media_type=media_type, data=data, name=name, extra=extra)
    url = optional_text(part, "file_url", where=where)
    if url is None:
        return Other(dialect=NAME, value=part)
    return File(media_type=_type_of(url, "application/pdf", where), url=url, name=name, extra=extra)


def _audio(part: JsonObject, where: str) -> Part:
    given = needed_object(part, "input_audio", where=where)
    at = place(where, "input_audio")
    return Audio(media_type=f"audio/{needed_text(given, 'format', where=at)}", data=needed_text(given, "data", where=at))


def _type_of(url: str, otherwise: str, where: str) -> str:
    parsed = urlsplit(url)
    if parsed.scheme not in {"http", "https"}:
        raise Invalid(f"the address {url[:80]!r} is not http, https or data", where=where)
    return mimetypes.guess_type(parsed.path)[0] or otherwise


def _data_url(url: str, where: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    if not comma or encoding != "base64":
        raise Invalid("the data is not a base64 data URL", where=where, hint="Send data:MEDIA/TYPE;base64,…")
    return media_type or "application/octet-stream", data


def _kept(holder: JsonObject, named: frozenset[str]) -> JsonObject:
    rest = {name: value for name, value in holder.items() if name not in named and value not in (None, [])}
    return {NAME: rest} if rest else {}


_CALL: Final = frozenset({"type", "id", "call_id", "name", "arguments", "status"})
_RESULT: Final = frozenset({"type", "id", "call_id", "output", "status"})
_TEXT: Final = frozenset({"type", "text", "logprobs"})
_IMAGE: Final = frozenset({"type", "image_url"})
_FILE: Final = frozenset({"type", "filename", "file_data", "file_url"})

_READERS: Final[Mapping[str, Callable[[JsonObject, str], Part]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}
