"""Blocks of ClickHouse's `Native` format: rows by columns, several times cheaper to write and to insert than rows of JSON.

A block: the number of columns, the number of rows, then each column's name, type, and values one after another. Numbers are
little-endian; a length is a varint (7 bits a byte, the lowest first). https://clickhouse.com/docs/interfaces/formats/Native
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, Final, TypeAlias

TEXT: Final = "String"
TEXTS: Final = "Array(String)"
PAIRS: Final = "Map(String, String)"
COUNT: Final = "UInt64"
FLAG: Final = "UInt8"
NUMBER: Final = "Float64"
PERHAPS: Final = "Nullable(Float64)"
MOMENT: Final = "DateTime64(9, 'UTC')"
TRACE: Final = "FixedString(32)"
SPAN: Final = "FixedString(16)"

# Values of one type each; a type's own function knows which.
_Values: TypeAlias = Sequence[Any]
_SHORT: Final = [bytes((number,)) for number in range(128)]


def encode_block(columns: Sequence[tuple[str, str]], rows: Sequence[_Values]) -> bytes:
    """A block of at least one row; `columns` are (name, type) in the order of each row's values.

    Raises `ValueError`, `TypeError`, `OverflowError` or `struct.error` for a value that its type cannot hold; nothing is cut.
    """
    pieces = [_varint(len(columns)), _varint(len(rows))]
    for (name, kind), values in zip(columns, zip(*rows, strict=True), strict=True):
        pieces += (_text(name), _text(kind), _WRITERS[kind](values))
    return b"".join(pieces)


def decode_blocks(content: bytes) -> Sequence[Mapping[str, object]]:
    """The rows of blocks that `encode_block` made, for showing and for putting aside. Not quick."""
    reader = _Reader(content)
    rows: list[Mapping[str, object]] = []
    while not reader.at_end:
        width, height = reader.varint(), reader.varint()
        columns = {reader.text(): reader.values(reader.text(), height) for _ in range(width)}
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows


def _varint(number: int) -> bytes:
    if number < 128:
        return _SHORT[number]
    if number < 16384:
        return bytes((number & 127 | 128, number >> 7))
    return bytes((number & 127 | 128,)) + _varint(number >> 7)


def _text(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _varint(len(content)) + content


def _texts(values: _Values) -> bytes:
    """Texts, most of which are usually the same few."""
    if not values:
        return b""
    first = values[0]
    if values.count(first) == len(values):
        return _text(first) * len(values)
    known: dict[str | bytes, bytes] = {}

    def write(value: str | bytes) -> bytes:
        piece = known[value] = _text(value)
        return piece

    return b"".join([known.get(value) or write(value) for value in values])


def _numbers(code: str) -> Callable[[_Values], bytes]:
    def write(values: _Values) -> bytes:
        found = array(code, values)
        if sys.byteorder == "big":
            found.byteswap()
        return found.tobytes()

    return write


def _perhaps(values: _Values) -> bytes:
    missing = bytes([value is None for value in values])
    return missing + _numbers("d")([0.0 if value is None else value for value in values])


def _fixed(size: int) -> Callable[[_Values], bytes]:
    def write(values: _Values) -> bytes:
        if any(len(value) != size for value in values):
            raise ValueError(f"not {size} characters")
        return "".join(values).encode("ascii")

    return write


def _lists(values: _Values) -> bytes:
    return _numbers("Q")(list(accumulate(map(len, values)))) + _texts(list(chain.from_iterable(values)))


def _pairs(values: _Values) -> bytes:
    forms = [tuple(each) for each in values]
    keys = {form: b"".join(map(_text, form)) for form in set(forms)}  # most rows have the same keys
    held = _texts(list(chain.from_iterable([each.values() for each in values])))
    return _numbers("Q")(list(accumulate(map(len, values)))) + b"".join([keys[form] for form in forms]) + held


_WRITERS: Final[Mapping[str, Callable[[_Values], bytes]]] = {
    TEXT: _texts,
    TEXTS: _lists,
    PAIRS: _pairs,
    COUNT: _numbers("Q"),
    FLAG: _numbers("B"),
    NUMBER: _numbers("d"),
    PERHAPS: _perhaps,
    MOMENT: _numbers("q"),
    TRACE: _fixed(32),
    SPAN: _fixed(16),
}
_PLAIN: Final = {COUNT: "Q", FLAG: "B", NUMBER: "d", MOMENT: "q"}


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._content)

    def take(self, size: int) -> bytes:
        found = self._content[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("the block ends early")
        self._at += size
        return found

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def text(self) -> str:
        return self.take(self.varint()).decode("utf-8", "replace")

    def values(self, kind: str, count: int) -> _Values:
        if kind == TEXT:
            return [self.text() for _ in range(count)]
        if kind in _PLAIN:
            return self._numbers(_PLAIN[kind], count)
        if kind == PERHAPS:
            missing = self.take(count)
            return [None if hidden else value for hidden, value in zip(missing, self._numbers("d", count), strict=True)]
        if kind in {TRACE, SPAN}:
            return [self.take(32 if kind == TRACE else 16).decode() for _ in range(count)]
        ends = self._numbers("Q", count)
        return self._groups(kind, [0, *ends])

    def _numbers(self, code: str, count: int) -> _Values:
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}")))

    def _groups(self, kind: str, ends: Sequence[int]) -> _Values:
        keys = self.values(TEXT, ends[-1])
        spans = list(pairwise(ends))
        if kind == TEXTS:
            return [list(keys[start:end]) for start, end in spans]
        if kind != PAIRS:
            raise ValueError(f"no type of ours: {kind}")
        held = self.values(TEXT, ends[-1])
        return [dict(zip(keys[start:end], held[start:end], strict=True)) for start, end in spans]
