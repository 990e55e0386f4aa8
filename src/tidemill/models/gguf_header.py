"""What a GGUF file says of itself in its header: name, architecture, base model, licence. The tensors are not read.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tidemill.core.errors import Invalid
from tidemill.core.json import Json

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_VERSIONS = frozenset({2, 3})
_MOST_ENTRIES, _MOST_TENSORS = 10_000, 100_000
LONGEST_NAME, _LONGEST_TEXT = 65_535, 16 * 1024 * 1024
_SHOWN = 8
_BROKEN = "The file is broken or hostile."


def read_gguf_header(path: Path) -> Mapping[str, Json]:
    """The header's values by key; of arrays, lists of at most eight texts or numbers and their length under `KEY.length`.

    Raises `Invalid` for what is not a whole GGUF header.
    """
    with path.open("rb") as file:
        return GgufReader(file, path).header().values


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufHeader:
    """The version of the format, how many tensors the table after the header has, and the header's values."""

    version: int
    tensors: int
    values: Mapping[str, Json]


class GgufReader:
    """Reads a GGUF file forward, never beyond its end; `at` is the place in bytes. Every method raises `Invalid`."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._size = path.stat().st_size
        self.name = path.name
        self.at = 0

    def header(self) -> GgufHeader:
        """What stands before the table of tensors; the reader is then at that table."""
        if self._size < len(b"GGUF") or self.take(4) != b"GGUF":
            raise Invalid(f"{self.name} is not a GGUF file", where=self.name)
        version = int(self.number("<I"))
        if version not in _VERSIONS:
            raise Invalid(f"{self.name} has GGUF version {version}; 2 and 3 are known", where=self.name)
        tensors, entries = self._count(_MOST_TENSORS, "tensors"), self._count(_MOST_ENTRIES, "values")
        values: dict[str, Json] = {}
        for _ in range(entries):
            self._entry(values)
        return GgufHeader(version=version, tensors=tensors, values=values)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self._need(count)
        self.at += count
        return self._file.read(count)

    def number(self, form: str) -> int | float:
        """The next number; `form` as `struct` writes it."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return cast("int | float", value)

    def text(self, longest: int) -> str:
        """The next text of at most `longest` bytes."""
        length = int(self.number("<Q"))
        if length > longest:
            raise Invalid(f"{self.name} claims a text of {length} bytes in its header", hint=_BROKEN)
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Invalid(f"{self.name} has a header that is not UTF-8", hint="The file is broken.") from error

    def _count(self, most: int, what: str) -> int:
        found = int(self.number("<Q"))
        if found > most:
            raise Invalid(f"{self.name} claims {found} {what}, more than any model has", hint=_BROKEN)
        return found

    def _entry(self, values: dict[str, Json]) -> None:
        key, kind = self.text(LONGEST_NAME), int(self.number("<I"))
        if kind == _ARRAY:
            self._array(key, values)
        else:
            values[key] = self.text(_LONGEST_TEXT) if kind == _STRING else self.number(self._form(kind))

    def _array(self, key: str, values: dict[str, Json]) -> None:
        inner, length = int(self.number("<I")), int(self.number("<Q"))
        values[f"{key}.length"] = length
        shown = min(length, _SHOWN)
        if inner == _STRING:
            self._need(8 * length)  # each has at least its own length before it
            values[key] = [self.text(_LONGEST_TEXT) for _ in range(shown)]
            for _ in range(length - shown):
                self._skip(int(self.number("<Q")))
            return
        form = self._form(inner)
        self._need(struct.calcsize(form) * length)
        values[key] = [self.number(form) for _ in range(shown)]
        self._skip(struct.calcsize(form) * (length - shown))

    def _skip(self, count: int) -> None:
        self._need(count)
        self._file.seek(count, 1)
        self.at += count

    def _form(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise Invalid(f"{self.name} has a value of type {kind} in its header, which GGUF does not know")
        return _SCALARS[kind]

    def _need(self, count: int) -> None:
        if count > self._size - self.at:
            raise Invalid(
                f"{self.name} is cut off: its header goes on for {count} bytes where {self._size - self.at} are left",
                hint="Fetch the file again.",
            )
