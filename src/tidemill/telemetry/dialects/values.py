"""Readers of one attribute's value. Each gives None for a value that is not what it reads, and never raises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeGuard, cast

import orjson

from tidemill.core.json import Json

Reader: TypeAlias = Callable[[Json], "Json | tuple[str, ...]"]
_LARGEST_COUNT: Final = 2**53
_LONGEST_SECONDS: Final = 1e9
_NO_OBJECTS: Final = frozenset({str, list, tuple, int, float, bool, type(None)})  # asking an abstract class takes much longer
_OPENING: Final = frozenset({"{", "[", '"'})


def is_object(value: object) -> TypeGuard[Mapping[str, Json]]:
    """Whether it is a JSON object."""
    kind = value.__class__
    return kind is dict or (kind not in _NO_OBJECTS and isinstance(value, Mapping))


def is_list(value: object) -> TypeGuard[Sequence[Json]]:
    """Whether it is a JSON list."""
    return value.__class__ is list or isinstance(value, list | tuple)


def _opens(value: str) -> bool:
    """Whether it begins as JSON of an object, a list or a text does, after white space."""
    return value[:1].isspace() and value[:64].lstrip()[:1] in _OPENING


def unpacked(value: Json) -> Json:
    """What a text holds when it is JSON of an object or a list, once or twice over; else the value as it is."""
    for _ in range(3):
        if not isinstance(value, str) or not (value[:1] in _OPENING or _opens(value)):
            break
        try:
            found = cast("Json", orjson.loads(value))
        except orjson.JSONDecodeError:
            break
        if not isinstance(found, str):
            return found
        if found[:1] not in ("{", "["):
            break  # a text that somebody quoted: the quotes are theirs
        value = found
    return value


def anything(value: Json) -> Json:
    """The value, with JSON inside a text understood. An empty text is no value."""
    return unpacked(value) if isinstance(value, str) else value


def loosely(value: Json) -> Json:
    """As `anything`; and a text of a quoted text, a number, a boolean or null is what it says."""
    found = anything(value)
    if not isinstance(found, str):
        return found
    try:
        return cast("Json", orjson.loads(found))
    except orjson.JSONDecodeError:
        return found


def text(value: Json) -> str | None:
    """A text that is not empty; a number as text."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)


def lower(value: Json) -> str | None:
    """A text in lower case."""
    return value.lower() or None if isinstance(value, str) else None


def number(value: Json) -> float | None:
    """A finite number, also when it was written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Json) -> int | None:
    """A whole number of tokens, at least 0, also when it was written as text."""
    if value.__class__ is int:
        whole = cast("int", value)
        return whole if 0 <= whole <= _LARGEST_COUNT else None
    found = number(value)
    return int(found) if found is not None and 0 <= found <= _LARGEST_COUNT else None


def dollars(value: Json) -> float | None:
    """A cost in US dollars, at least 0."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def seconds(value: Json) -> int | None:
    """Seconds, as nanoseconds."""
    found = number(value)
    return round(found * 1e9) if found is not None and 0 <= found <= _LONGEST_SECONDS else None


def milliseconds(value: Json) -> int | None:
    """Milliseconds, as nanoseconds."""
    found = number(value)
    return round(found * 1e6) if found is not None and 0 <= found <= _LONGEST_SECONDS * 1e3 else None


def texts(value: Json) -> tuple[str, ...] | None:
    """A list of texts, also as JSON in a text, or one text."""
    found = unpacked(value) if isinstance(value, str) else value
    if isinstance(found, str):
        return (found,) if found else None
    if not is_list(found):
        return None
    kept = tuple([each for each in found if isinstance(each, str) and each])
    return kept or None


def one_of(table: Mapping[str, str]) -> Reader:
    """What `table` says for a text, in whatever case it was written."""
    get = table.get

    def read(value: Json) -> str | None:
        return (get(value) or get(value.lower())) if isinstance(value, str) else None

    return read


def always(given: str) -> Reader:
    """`given`, whatever the value is."""
    return lambda _value: given


def inside(*path: str, reader: Reader) -> Reader:
    """What `reader` makes of the value at `path` within an object (which may be JSON in a text)."""

    def read(value: Json) -> Json | tuple[str, ...]:
        found = unpacked(value)
        for name in path:
            if not is_object(found) or name not in found:
                return None
            found = found[name]
        return reader(found)

    return read
