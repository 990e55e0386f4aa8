"""Reading a request's fields strictly: each function gives a value of the right type, or raises `Invalid` with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, parse_json

Objects: TypeAlias = Sequence[tuple[str, JsonObject]]
"""Objects of a list, each with its place in the request."""


def place(where: str, name: str | int) -> str:
    """Where a field of something is, as in `messages[0].content`."""
    if isinstance(name, int):
        return f"{where}[{name}]"
    return f"{where}.{name}" if where else name


def optional_text(holder: JsonObject, name: str, *, where: str = "") -> str | None:
    """Text, or None where there is none."""
    value = holder.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(value, "text", place(where, name))


def needed_text(holder: JsonObject, name: str, *, where: str = "") -> str:
    """Text that has to be there."""
    value = optional_text(holder, name, where=where)
    if value is None:
        raise Invalid(f"{name} is missing", where=place(where, name), hint="Send it as text.")
    return value


def flag(holder: JsonObject, name: str, *, where: str = "") -> bool:
    """True or false; false where there is none."""
    value = holder.get(name)
    if value is None or isinstance(value, bool):
        return value is True
    raise _wrong(value, "true or false", place(where, name))


def whole_number(holder: JsonObject, name: str, *, least: int, where: str = "") -> int | None:
    """A whole number of at least `least`, or None where there is none."""
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(value, f"a whole number from {least}", place(where, name))
    return value


def optional_number(holder: JsonObject, name: str, *, where: str = "") -> float | None:
    """A number, or None where there is none."""
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "a number", place(where, name))
    return value


def optional_object(holder: JsonObject, name: str, *, where: str = "") -> JsonObject | None:
    """An object, or None where there is none."""
    value = holder.get(name)
    if value is None or isinstance(value, Mapping):
        return value
    raise _wrong(value, "an object", place(where, name))


def needed_object(holder: JsonObject, name: str, *, where: str = "") -> JsonObject:
    """An object that has to be there."""
    value = optional_object(holder, name, where=where)
    if value is None:
        raise Invalid(f"{name} is missing", where=place(where, name), hint="Send it as an object.")
    return value


def objects(value: Json, *, where: str) -> Objects:
    """The objects of a list, none where there is no list."""
    if value is None:
        return ()
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise _wrong(value, "a list of objects", where)
    found: list[tuple[str, JsonObject]] = []
    for index, each in enumerate(value):
        if not isinstance(each, Mapping):
            raise _wrong(each, "an object", place(where, index))
        found.append((place(where, index), each))
    return found


def texts(value: Json, *, where: str) -> list[str]:
    """A text, or a list of them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
        return [*cast("Sequence[str]", value)]
    raise _wrong(value, "text or a list of texts", where)


def inputs_of(metadata: JsonObject | None) -> JsonObject:
    """`metadata.inputs`: an object, or the same as JSON text for clients that allow only text there."""
    inputs = (metadata or {}).get("inputs", {})
    if isinstance(inputs, str):
        inputs = parse_json(inputs, what="metadata.inputs")
    if not isinstance(inputs, Mapping):
        raise Invalid("metadata.inputs is not an object", where="metadata.inputs", hint='Send {"name": value}.')
    return inputs


def _wrong(value: object, wanted: str, where: str) -> Invalid:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    return Invalid(f"{where or 'it'} is {shown}, but should be {wanted}", where=where)
