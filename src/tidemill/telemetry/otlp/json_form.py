"""The JSON form of the protocol, read into the same messages as the binary one.

It is protobuf's JSON with two exceptions: trace and span ids are hexadecimal, and enumerations may be numbers. Names may be in
camelCase or snake_case; what is unknown is passed over. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import orjson

from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

_DEEPEST: Final = 100
_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_WORDS: Final[Mapping[str, float]] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Field(NamedTuple):
    name: str
    kind: str
    is_repeated: bool
    numbers: Mapping[str, int]


class _Wrong(Exception):
    """A value that does not fit, and the way to it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []


def parse_json(body: bytes, message: Message) -> None:
    """Fill a message. Raises `Invalid` that names the place."""
    given = _loads(body)
    try:
        _fill(message, given, 0)
    except _Wrong as wrong:
        where = ".".join(reversed(wrong.path)) or "body"
        raise Invalid(f"{where} {wrong.what}", where=where, hint="Send OTLP as JSON, as the specification has it.") from wrong


def _loads(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:  # lone surrogates, which orjson does not take
            return json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Invalid(f"the body is not JSON: {error}", hint="Send OTLP as JSON or protobuf.") from error


def _fill(message: Message, given: object, depth: int) -> None:
    if not isinstance(given, dict):
        raise _Wrong(f"is {_shown(given)} and should be an object")
    if depth > _DEEPEST:
        raise _Wrong(f"is nested deeper than {_DEEPEST}")
    fields = _fields(message.DESCRIPTOR)
    for key, value in cast("dict[str, object]", given).items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        try:
            if field.is_repeated:
                _fill_list(message, field, value, depth)
            elif field.kind == "message":
                child: Message = getattr(message, field.name)
                child.SetInParent()
                _fill(child, value, depth + 1)
            else:
                setattr(message, field.name, _scalar(field, value))
        except _Wrong as wrong:
            wrong.path.append(key)
            raise
        except (ValueError, TypeError) as error:
            wrong = _Wrong(f"is {_shown(value)}: {error}")
            wrong.path.append(key)
            raise wrong from error


def _fill_list(message: Message, field: _Field, value: object, depth: int) -> None:
    if not isinstance(value, list):
        raise _Wrong(f"is {_shown(value)} and should be a list")
    target = getattr(message, field.name)
    for place, each in enumerate(cast("list[object]", value)):
        try:
            if field.kind == "message":
                _fill(target.add(), each, depth + 1)
            else:
                target.append(_scalar(field, each))
        except _Wrong as wrong:
            wrong.path.append(str(place))
            raise


def _scalar(field: _Field, value: object) -> Any:
    match field.kind:
        case "string":
            return _text(value)
        case "int":
            return _whole(value)
        case "double":
            return _double(value)
        case "bool" if isinstance(value, bool):
            return value
        case "enum":
            return field.numbers.get(value, 0) if isinstance(value, str) and not value.isdigit() else _whole(value)
        case "id" if isinstance(value, str):
            return _hexadecimal(value)
        case "bytes" if isinstance(value, str):
            return _base64(value)
        case _:
            raise _Wrong(f"is {_shown(value)} and should be {field.kind}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"is {_shown(value)} and should be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Wrong(f"is {_shown(value)} and should be a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise _Wrong(f"is {value} and should be a whole number")
    return int(value[:40] if isinstance(value, str) else value)


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Wrong(f"is {_shown(value)} and should be a number")
    return _WORDS[value] if isinstance(value, str) and value in _WORDS else float(value)


def _hexadecimal(value: str) -> bytes:
    """An id. One that is not hexadecimal becomes empty, so that its span alone is rejected."""
    try:
        return bytes.fromhex(value)
    except ValueError:
        return b""


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4))
    except binascii.Error as error:
        raise _Wrong(f"is {_shown(value)} and should be base64") from error


@cache
def _fields(descriptor: Descriptor) -> Mapping[str, _Field]:
    found: dict[str, _Field] = {}
    for each in descriptor.fields:
        numbers = {name: value.number for name, value in each.enum_type.values_by_name.items()} if each.enum_type else {}
        found[each.name] = found[each.json_name] = _Field(each.name, _kind(each), each.is_repeated, numbers)
    return found


def _kind(field: FieldDescriptor) -> str:
    if field.type == field.TYPE_BYTES:
        return "id" if field.name in _IDS else "bytes"
    kinds = {
        field.CPPTYPE_MESSAGE: "message", field.CPPTYPE_STRING: "string", field.CPPTYPE_ENUM: "enum",
        field.CPPTYPE_BOOL: "bool", field.CPPTYPE_DOUBLE: "double", field.CPPTYPE_FLOAT: "double",
    }  # fmt: skip
    return kinds.get(field.cpp_type, "int")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
