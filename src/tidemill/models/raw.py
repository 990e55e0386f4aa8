"""A client's own request, changed in nothing but the model's name and what the model's document adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.calls import RawRequest

_KEY: Final = b'"model"'
_SPACE: Final = b" \t\r\n"
_COUNTED: Final = frozenset({"openai.chat", "openai.completions"})
"""Dialects whose streams count only when they are asked to."""

_ENDS: Final = (b"\n\n", b"\r\n\r\n")
_USAGE: Final = b'"usage"'
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


def written_for(raw: RawRequest, params: JsonObject, *, name: str) -> bytes:
    """The body as it is sent to `name`, with those of `params` (in the dialect's words) that the request does not give itself.

    Raises `Invalid` for a body that cannot be given a name.
    """
    if raw.rename is not None:
        return raw.rename(name)
    if not raw.fields:
        raise Invalid("the request cannot be passed on: its body is not a JSON object", kind="invalid")
    added = _added(raw, params) if params else {}
    if raw.stream and raw.dialect in _COUNTED and not raw.counts:
        given = raw.fields.get("stream_options")
        added["stream_options"] = {**(given if isinstance(given, Mapping) else {}), "include_usage": True}
    if any(each in raw.fields for each in added):
        return _written_anew(raw, added, name)
    spliced = _spliced(raw.body, raw.fields, name)
    if spliced is None:
        return _written_anew(raw, added, name)
    if not added:
        return spliced
    start = spliced.index(b"{") + 1
    return b"%b%b,%b" % (spliced[:start], orjson.dumps(added)[1:-1], spliced[start:])


def _added(raw: RawRequest, params: JsonObject) -> dict[str, Json]:
    """What the model's document says and the request does not; a limit under either name is one."""
    fields = raw.fields
    limited = any(fields.get(each) is not None for each in _LIMITS)
    return {
        key: value
        for key, value in params.items()
        if fields.get(key) is None and not (limited and key in _LIMITS) and key != "provider_options"
    }


def _written_anew(raw: RawRequest, added: JsonObject, name: str) -> bytes:
    return orjson.dumps({**raw.fields, **added, "model": name})


def _spliced(body: bytes, fields: JsonObject, name: str) -> bytes | None:
    """The body with another name in the one place where it can be; None where there is any doubt which one that is.

    A name may stand below under the same key, or the key may be written with escapes: then the body is written anew, so that
    what was checked is what is sent.
    """
    at = body.find(_KEY)
    if at < 0 or body.find(_KEY, at + 1) >= 0 or b"\\u00" in body:
        return None
    start = at + len(_KEY)
    while body[start : start + 1] in _SPACE and start < len(body):
        start += 1
    if body[start : start + 1] != b":":
        return None
    start += 1
    while body[start : start + 1] in _SPACE and start < len(body):
        start += 1
    end = body.find(b'"', start + 1) + 1
    if body[start : start + 1] != b'"' or end <= 0 or body[start + 1 : end - 1] != str(fields.get("model")).encode():
        return None
    return b"%b%b%b" % (body[:start], orjson.dumps(name), body[end:])


class Unasked:
    """Takes out of a stream the one event that came only because we asked for it: the usage, which has no choices.

    Bytes pass in the order in which they come; only what may be that event waits until it is whole.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, piece: bytes) -> bytes:
        """What of the stream may go on now."""
        if not self._held and piece.endswith(_ENDS) and _USAGE not in piece:
            return piece
        lines = (self._held + piece).splitlines(keepends=True)
        start, passed = 0, list[bytes]()
        for index, line in enumerate(lines):
            if not line.strip(b"\r\n") and index > start:
                event = lines[start : index + 1]
                if not _is_usage(event):
                    passed += event
                start = index + 1
        self._held = b"".join(lines[start:])
        return b"".join(passed)

    def rest(self) -> bytes:
        """What the end of the stream cut off."""
        held, self._held = self._held, b""
        return b"" if _is_usage(held.splitlines()) else held


def _is_usage(lines: Sequence[bytes]) -> bool:
    """Whether an event is a chunk that has usage and an empty list of choices."""
    data = b"".join(each[5:].strip() for each in lines if each.startswith(b"data:"))
    if _USAGE not in data:
        return False
    try:
        value = cast("Json", orjson.loads(data))
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, Mapping) and bool(value.get("usage")) and value.get("choices") == []
