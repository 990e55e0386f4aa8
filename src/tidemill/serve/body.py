"""A request's body as JSON: one object in which every key stands once, so that all who read it read the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, parse_json

_LONG: Final = 512 * 1024  # bytes, from which on only the outermost keys are looked at


class _Twice(Exception):
    """A key that stands twice in one object."""


def read_body(content: bytes) -> JsonObject:
    """Parse a body. Raises `Invalid` for what is not an object in UTF-8, is nested too deeply, or has a key twice."""
    body = parse_json(content, what="the request body")
    if not isinstance(body, Mapping):
        raise Invalid("the request body is not an object", hint="Send one JSON object.")
    if len(content) > _LONG:
        _check_outermost(content, body)
    elif _is_less(content, body):
        _check_all(content)
    return body


def _is_less(content: bytes, body: JsonObject) -> bool:
    """Whether something that was written may be lost: of a key that stood there twice one went, and its quotes with it."""
    again = _again(body)
    return again != content and (again.count(b'"') != content.count(b'"') or b"\\u0022" in content)


def _again(body: JsonObject) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # what was parsed can be written, but for its depth
        raise _too_deep() from None


def _check_all(content: bytes) -> None:
    try:
        _DECODER.decode(content.decode())
    except _Twice as error:
        raise _twice(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise Invalid(f"the request body is not valid JSON: {error}", hint="Send one JSON document in UTF-8.") from error


def _once(pairs: list[tuple[str, Json]]) -> int:
    """Nothing is kept of an object but that it was looked at."""
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Twice(key)
            seen.add(key)
    return 0


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def _check_outermost(content: bytes, body: JsonObject) -> None:
    """Of a large body, such as one with pictures: keys that seem to stand twice are looked at closely, others are not there."""
    if any(content.count(b'"%b"' % key.encode()) > 1 for key in body) or b"\\u00" in content:
        _check_all(content)


def _too_deep() -> Invalid:
    return Invalid("the request body is nested too deeply", hint="Send it with fewer levels.")


def _twice(key: str) -> Invalid:
    return Invalid(f"the request body has the key {key[:80]!r} twice in one object", where=key[:80], hint="Send it once.")
