"""A user's values as JSON: copied at once, bounded, and without running the user's code.

A value may change after it was passed, may be huge, may hold itself, and may hold secrets. So only what is plainly data is
followed (mappings, sequences, and the fields of data classes, pydantic models, attrs and msgspec structs); of everything else
stands what it is, as in `(a sqlite3.Connection)`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias, cast

import orjson

from tidemill.core.json import Json

LARGEST: Final = 256 * 1024  # characters of one value
_MOST_NODES: Final = 10_000
_DEEPEST: Final = 24
_INT64: Final = 2**63
_WRITTEN: Final = (
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
)
_SECRET: Final = frozenset(
    {
        "api_key", "apikey", "password", "passwd", "secret", "client_secret", "access_token", "refresh_token", "auth_token",
        "authorization", "private_key",
    }
)  # fmt: skip
_LEFT_OUT: Final = "(not recorded)"
_Fields: TypeAlias = Callable[[object], Mapping[object, object]]


def encode(value: object) -> str:
    """A value as JSON text of about `LARGEST` characters at most. Never raises."""
    kind = type(value)
    if kind is str and len(cast("str", value)) <= LARGEST:
        return _dump(cast("str", value))
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    return _dump(plain(value))


def plain(value: object) -> Json:
    """A copy of a value that is only JSON, bounded. Never raises."""
    try:
        return _Copy().of(value, 0)
    except Exception:  # noqa: BLE001  (a user's object; recording it must not fail the user's call)
        return f"(a {_name_of(value)} that cannot be recorded)"


class _Copy:
    """One walk over a value, with what is left of its bounds."""

    __slots__ = ("characters", "nodes")

    def __init__(self) -> None:
        self.characters = LARGEST
        self.nodes = _MOST_NODES

    def of(self, value: object, depth: int) -> Json:  # noqa: C901, PLR0912  (a line a type)
        kind = type(value)
        if kind is str:
            return self.text(cast("str", value))
        if value is None or kind is bool or kind is float:
            return cast("Json", value)
        if kind is int and -_INT64 <= cast("int", value) < _INT64:
            return cast("int", value)
        if kind is dict and depth <= _DEEPEST:
            return self.mapping(cast("dict[object, object]", value), depth)
        if kind in (list, tuple) and depth <= _DEEPEST:
            return self.items(cast("list[object]", value), depth)
        if isinstance(value, enum.Enum):
            return self.of(value.value, depth + 1)
        if isinstance(value, int):
            number = int(value)
            return number if -(2**63) <= number < 2**64 else f"(an integer of {number.bit_length()} bits)"
        if isinstance(value, float):
            return float(value)
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return f"({len(cast('bytes', value))} bytes)"
        if isinstance(value, _WRITTEN):
            return self.text(str(value))
        if isinstance(value, BaseException):
            return self.text(f"{kind.__name__}: {value}")
        if depth > _DEEPEST:
            return f"(a {_name_of(value)}, too deep)"
        if isinstance(value, Mapping):
            return self.mapping(cast("Mapping[object, object]", value), depth)
        if isinstance(value, Sequence | AbstractSet):
            return self.items(cast("Sequence[object]", value), depth)
        fields = _fields_of(kind)
        return f"(a {_name_of(value)})" if fields is None else self.mapping(fields(value), depth)

    def text(self, value: str) -> str:
        left = self.characters
        if len(value) <= left:
            self.characters = left - len(value)
            return value
        self.characters = 0
        return f"{value[:left]} … ({len(value)} characters, cut short)"

    def mapping(self, value: Mapping[object, object], depth: int) -> Json:
        found: dict[str, Json] = {}
        for count, (key, each) in enumerate(value.items()):
            if not self.goes_on():
                found["…"] = f"({len(value) - count} more)"
                break
            name = key if isinstance(key, str) else str(self.of(key, depth + 1))
            self.characters -= len(name)
            found[name] = _LEFT_OUT if name in _SECRET else self.of(each, depth + 1)
        return found

    def items(self, value: Sequence[object], depth: int) -> Json:
        found: list[Json] = []
        for count, each in enumerate(value):
            if not self.goes_on():
                found.append(f"({len(value) - count} more)")
                break
            found.append(self.of(each, depth + 1))
        return found

    def goes_on(self) -> bool:
        self.nodes -= 1
        return self.nodes >= 0 and self.characters > 0


def _fields_of(kind: Any) -> _Fields | None:
    """How to read the fields of a class that is data; None for one that is not."""
    if dataclasses.is_dataclass(kind):
        names = [each.name for each in dataclasses.fields(kind) if each.repr]
    elif hasattr(kind, "model_fields") and hasattr(kind, "__pydantic_fields__"):
        return _public
    elif (declared := getattr(kind, "__attrs_attrs__", None)) is not None:
        names = [each.name for each in declared if each.repr]
    elif (structure := getattr(kind, "__struct_fields__", None)) is not None:
        names = list(structure)
    else:
        return None
    return lambda value: {name: getattr(value, name) for name in names if hasattr(value, name)}


def _public(value: Any) -> Mapping[object, object]:
    """The fields of a pydantic model, and what it took besides; what repeats a default is not said."""
    declared = cast("Mapping[str, object]", value.__class__.__pydantic_fields__)
    values = cast("Mapping[str, object]", vars(value))
    more = cast("Mapping[object, object] | None", getattr(value, "__pydantic_extra__", None))
    shown: dict[object, object] = {
        name: values[name] for name in declared if name in values and getattr(declared[name], "repr", True)
    }
    return {**shown, **(more or {})}


def _name_of(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _dump(value: Json) -> str:
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, UnicodeError):  # a lone half of a surrogate pair
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
