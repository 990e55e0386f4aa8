"""A file of one JSON document, or of one a line, as records that know where they stood."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

_SHOWN: Final = 80
_LINE: Final = "line "


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON value of a file; `where` names its place for a message, as in `traces.jsonl line 3`."""

    where: str
    value: Json

    def record(self) -> JsonObject:
        """Its value as an object. Raises `Invalid`, naming the place, when it is another."""
        if not isinstance(self.value, Mapping):
            raise Invalid(
                f"{self.where} is a {_word(self.value)}, where an object with a span's fields is expected",
                hint="Give the file as the platform exported it.",
            )
        return self.value

    def below(self, key: str, value: Json) -> list[Entry]:
        """The values of a list that lies in it under `key`."""
        return [Entry(f"{self.where}, {key} {number}", each) for number, each in enumerate(items(value), 1)]


Entries: TypeAlias = Sequence[Entry]


def read_entries(content: bytes, *, name: str) -> list[Entry]:
    """The records of a file: the items of its one list, its one object, or one a line.

    Raises `Invalid`, naming `name` and the place, for an empty file, for what is not UTF-8 JSON and for half a file. Nothing
    is given out before the whole of it could be read.
    """
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise Invalid(f"{name} is empty", hint="Export the traces again.")
    first, _, rest = text.partition(b"\n")
    if rest and _is_json(first):
        return list(_lines(text.split(b"\n"), name))
    try:
        return _whole(cast("Json", orjson.loads(text)), name)
    except orjson.JSONDecodeError as error:
        raise _broken(name, error) from error


def items(value: Json) -> Sequence[Json]:
    """The items of a list, or of a list written as JSON text; nothing for anything else."""
    value = unwrapped(value)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def mapping(value: Json) -> JsonObject:
    """An object, or an object written as JSON text; an empty one for anything else."""
    value = unwrapped(value)
    return value if isinstance(value, Mapping) else {}


def unwrapped(value: Json) -> Json:
    """What a text holds that is a JSON object or list, written once or twice; any other value as it is."""
    for _ in range(2):
        if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "[", '"'}:
            return value
        try:
            value = cast("Json", orjson.loads(value))
        except orjson.JSONDecodeError:
            return value
    return value


def text_of(record: JsonObject, *keys: str) -> str:
    """The first of these fields that holds text or a number, as text; empty when none does."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def _whole(value: Json, name: str) -> list[Entry]:
    if isinstance(value, Mapping):
        return [Entry(name, value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [Entry(f"{name}, item {number}", each) for number, each in enumerate(value, 1)]
    raise Invalid(f"{name} holds a {_word(value)}, not traces", hint="Give the file as the platform exported it.")


def _lines(lines: Iterable[bytes], name: str) -> Iterable[Entry]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name} {_LINE}{number}"
        try:
            yield Entry(where, cast("Json", orjson.loads(line)))
        except orjson.JSONDecodeError as error:
            raise _broken(where, error) from error


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _broken(where: str, error: orjson.JSONDecodeError) -> Invalid:
    return Invalid(
        f"{where} is not JSON: {str(error)[:_SHOWN]}",
        hint="The file may have been cut off: export it again. Nothing of it was taken.",
    )


def _word(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "truth value"
    return "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else "list"
