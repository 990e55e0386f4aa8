"""The parts of a message, whoever wrote it: text, media, reasoning, calls of tools and their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import orjson

from tidemill.core.json import Json
from tidemill.telemetry.dialects.values import is_list, is_object, text, unpacked

Part: TypeAlias = dict[str, Json]

_KIND_NAMES: Final = ("type", "kind", "part_kind")
_TEXT: Final = frozenset({"text", "input_text", "output_text", "Text", "TextContent"})
_REASONING: Final = frozenset({"reasoning", "thinking", "reasoning_text", "summary_text"})
_CALL: Final = frozenset({"tool_call", "tool-call", "tool_use", "function_call", "server_tool_use", "mcp_call"})
_RESULT: Final = frozenset(
    {"tool_result", "tool-result", "tool_call_response", "function_call_output", "function_response", "tool_response"}
)
_MEDIA: Final = {
    **dict.fromkeys(("image", "image_url", "input_image", "image-url", "image_file"), "image"),
    **dict.fromkeys(("audio", "input_audio", "audio_url", "audio-url"), "audio"),
    **dict.fromkeys(("video", "video_url", "input_video", "video-url"), "video"),
    **dict.fromkeys(("file", "document", "input_file", "file_data", "fileData", "document-url"), "file"),
    **dict.fromkeys(("blob", "uri", "binary", "media", "inline_data", "inlineData"), ""),
}
_WRAPPERS: Final = {  # an object of one such key stands for a part of the type on the right
    "function_call": "tool_call",
    "functionCall": "tool_call",
    "tool_call": "tool_call",
    "function_response": "tool_result",
    "functionResponse": "tool_result",
    "tool_call_result": "tool_result",
    "inline_data": "blob",
    "inlineData": "blob",
    "file_data": "file",
    "fileData": "file",
    "message_content": "",
}

WORDS: Final = frozenset({*_TEXT, *_REASONING, *_CALL, *_RESULT, *_MEDIA, "function", "base64", "url"})
"""Words that say of what form a part is; in our form they are said otherwise."""


def take(rest: dict[str, Json], *names: str) -> Json:
    """The first of `names` that has a value, taken out of `rest`; names without one are taken out too."""
    for name in names:
        if name in rest:
            if rest[name] is not None:
                return rest.pop(name)
            del rest[name]
    return None


def take_text(rest: dict[str, Json], *names: str) -> str | None:
    """As `take`, of what is a text or a number; what is neither stays in `rest`."""
    for name in names:
        if name in rest and (rest[name] is None or rest[name] == "" or text(rest[name]) is not None):
            found = text(rest.pop(name))
            if found is not None:
                return found
    return None


def merged(outer: Mapping[str, Json], inner: Mapping[str, Json]) -> dict[str, Json]:
    """Both as one; where both say something else under one name, what the outer one says is kept as `NAME_outer`."""
    made = dict(inner)
    for name, value in outer.items():
        if value is None or (name in made and made[name] == value):
            continue
        made[name if made.get(name) is None else f"{name}_outer"] = value
    return made


def with_rest(made: Part, rest: Mapping[str, Json]) -> Part:
    """`made`, and what was not understood, under its own name."""
    for name, value in rest.items():
        if value is not None:
            made[name if name not in made else f"{name}_given"] = value
    return made


def arguments_text(value: Json) -> str:
    """A tool call's arguments as the text that a model writes: JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode() if value is not None else ""
    except orjson.JSONEncodeError:
        return str(value)


def read_part(value: Json) -> Part | None:
    """One part in our form; None for what is no part. What is not understood is kept in it."""
    if isinstance(value, str):
        return {"type": "text", "text": value}
    if not is_object(value):
        return None
    rest = dict(value)
    said_as = next((name for name in _KIND_NAMES if rest.get(name)), None)
    if said_as is None:
        return _unwrapped(rest) or _untyped(rest)
    kind = rest[said_as]
    return _typed(kind, said_as, rest) if isinstance(kind, str) else rest


def _unwrapped(rest: dict[str, Json]) -> Part | None:
    name = next((each for each in rest if each in _WRAPPERS), None)
    if name is None or not is_object(inner := rest[name]):
        return None
    del rest[name]
    made = read_part({"type": _WRAPPERS[name], **inner} if _WRAPPERS[name] else inner)
    return None if made is None else with_rest(made, rest)


def _untyped(rest: dict[str, Json]) -> Part | None:
    if isinstance(rest.get("text"), str):
        thought = rest.pop("thought", None)
        return with_rest({"type": "reasoning" if thought is True else "text", "text": rest.pop("text")}, rest)
    if is_object(rest.get("reasoning_content")):
        return with_rest({"type": "reasoning"}, rest)
    return rest


def _typed(kind: str, said_as: str, rest: dict[str, Json]) -> Part:
    if kind in _TEXT and isinstance(said := rest.get("text", rest.get("content")), str):
        del rest[said_as], rest["text" if "text" in rest else "content"]
        return with_rest({"type": "text", "text": said}, rest)
    if kind in _REASONING and (said := take(rest, "text", "thinking", "content", "reasoning")) is not None:
        del rest[said_as]
        return with_rest({"type": "reasoning", "text": said}, rest)
    if kind in _CALL:
        del rest[said_as]
        call = read_call(rest)
        return {"type": "tool_call", **{f"{key}_given" if key == "type" else key: each for key, each in call.items()}}
    if kind in _RESULT:
        del rest[said_as]
        return _result(rest)
    if kind in _MEDIA:
        del rest[said_as]
        return _media(_MEDIA[kind], rest)
    return rest


def read_call(value: Mapping[str, Json]) -> Part:
    """A call of a tool: `id`, `name` and `arguments` (JSON as text), from whatever form."""
    rest = dict(value)
    for name in ("tool_call", "function"):
        inner = rest.get(name)
        if is_object(inner):
            del rest[name]
            rest = merged(rest, inner)
        elif isinstance(inner, str) and name == "function" and "name" not in rest:
            rest["name"] = rest.pop(name)
    if rest.get("type") in ("function", *_CALL):
        del rest["type"]
    made: Part = {
        "id": take_text(rest, "call_id", "tool_call_id", "toolCallId", "id") or "",
        "name": take_text(rest, "name", "toolName", "tool_name") or "",
        "arguments": arguments_text(take(rest, "arguments", "args", "input", "partial_json")),
    }
    return with_rest(made, rest)


def _result(rest: dict[str, Json]) -> Part:
    made: Part = {
        "type": "tool_result",
        "id": take_text(rest, "tool_use_id", "tool_call_id", "toolCallId", "call_id", "id") or "",
        "content": take(rest, "content", "response", "result", "output"),
    }
    if name := take_text(rest, "name", "toolName", "tool_name"):
        made["name"] = name
    return with_rest(made, rest)


def _media(kind: str, rest: dict[str, Json]) -> Part:
    inner = take(rest, "source", "image", "image_url", "input_audio", "audio", "video_url", "file", "video", "audio_url")
    while is_object(inner):
        rest = merged(rest, {key: each for key, each in inner.items() if key != "type" or each not in ("base64", "url")})
        inner = take(rest, "image", "url") if is_object(rest.get("image") or rest.get("url")) else None
    if isinstance(inner, str):
        rest = merged(rest, {"url" if inner.startswith(("http", "data:", "gs:", "s3:", "file:")) else "data": inner})
    elif inner is not None:
        rest = merged(rest, {"source": inner})
    media_type = take(rest, "media_type", "mediaType", "mime_type", "mimeType", "format")
    modality = take(rest, "modality")
    made: Part = {"type": kind or _modality(modality, media_type)}
    if modality is not None and modality != made["type"]:
        rest["modality"] = modality
    for name, found in (
        ("media_type", media_type),
        ("url", take(rest, "url", "uri", "file_uri", "fileUri")),
        ("data", take(rest, "data", "content", "file_data")),
        ("file", take(rest, "file_id")),
        ("name", take(rest, "name", "filename")),
    ):
        if found is not None:
            made[name] = found
    return with_rest(made, rest)


def _modality(modality: Json, media_type: Json) -> str:
    for given in (modality, media_type):
        if isinstance(given, str) and (start := given.partition("/")[0]) in ("image", "audio", "video"):
            return start
    return "file"


def read_parts(value: Json) -> list[Part] | None:
    """Content as parts; None for what is no content. JSON of a list of parts, in a text, is understood."""
    if isinstance(value, str):
        found = unpacked(value) if value[:1] == "[" else value
        if is_list(found) and found and all(is_object(each) and ("type" in each or "text" in each) for each in found):
            return _listed(found)
        return [{"type": "text", "text": value}]
    if is_list(value):
        return _listed(value)
    if is_object(value):
        inner = value.get("parts")
        if is_list(inner) and len(value) == 1:
            return _listed(inner)
        part = read_part(value)
        return None if part is None else [part]
    return None


def _listed(found: Json) -> list[Part] | None:
    parts: list[Part] = []
    for each in found if is_list(found) else ():
        part = read_part(each)
        if part is None:
            return None
        parts.append(part)
    return parts
