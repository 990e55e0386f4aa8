"""Reading JSON that somebody else wrote: each function gives the value when it has the right type, else an empty one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from tidemill.core.json import Json, JsonObject

_NOTHING: JsonObject = {}


def child(value: JsonObject, key: str) -> JsonObject:
    """The object at `key`."""
    found = value.get(key)
    return found if isinstance(found, dict | Mapping) else _NOTHING


def said(extra: JsonObject, dialect: str) -> JsonObject:
    """What an `extra` says in one dialect."""
    return child(extra, dialect) if extra else _NOTHING


def children(value: JsonObject, key: str) -> list[JsonObject]:
    """The objects in the list at `key`."""
    found = value.get(key)
    if found is None or isinstance(found, str) or not isinstance(found, list | Sequence):
        return []
    return [each for each in found if isinstance(each, dict | Mapping)]


def text(value: JsonObject, key: str) -> str:
    """The text at `key`."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def count(value: JsonObject, key: str) -> int:
    """The number at `key`, whole and not below 0."""
    found = value.get(key)
    return max(0, int(found)) if isinstance(found, int | float) else 0


def number(value: JsonObject, key: str) -> float:
    """The number at `key`."""
    found = value.get(key)
    return float(found) if isinstance(found, int | float) else 0.0


def as_text(value: Json) -> str:
    """JSON text of a value; text is taken to be JSON text already, and nothing is nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
