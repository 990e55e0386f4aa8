"""A large export cut into small ones of the same meaning, so that no single step of reading it takes long.

Only the outermost levels are looked at (resources, scopes, spans, whose fields have the same numbers for traces, logs and
metrics); what is found to be of another form is left as it is, for the parser to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_ITEMS: Final = (1, 2, 2)
"""The fields that hold resources in a request, scopes in a resource, and spans (or records, or metrics) in a scope."""
_LENGTHS: Final = {1: 8, 5: 4}
_BLOCK: Final = 2


def split_request(body: bytes, *, most: int) -> Iterator[bytes]:
    """Requests of about `most` bytes each; one item that is larger is one request."""
    if len(body) <= most:
        yield body
    else:
        yield from _split(memoryview(body), 0, most)


def _split(message: memoryview, level: int, most: int) -> Iterator[bytes]:
    """Parts of a message, each with all of its other fields and some of its items."""
    fields = _fields(message, _ITEMS[level])
    if fields is None:
        yield bytes(message)
        return
    items, rest = fields
    head = b"".join(rest)
    gathered: list[bytes] = []
    size = 0
    for item in items:
        parts = _split(item, level + 1, most) if len(item) > most and level + 1 < len(_ITEMS) else (bytes(item),)
        for part in parts:
            if gathered and size + len(part) > most:
                yield head + b"".join(gathered)
                gathered, size = [], 0
            gathered.append(_head(_ITEMS[level], len(part)) + part)
            size += len(part)
    if gathered or not items:
        yield head + b"".join(gathered)


def _fields(message: memoryview, wanted: int) -> tuple[list[memoryview], list[memoryview]] | None:
    """The contents of the wanted fields, and all others with their heads; None for what is no message."""
    items: list[memoryview] = []
    rest: list[memoryview] = []
    at, end = 0, len(message)
    try:
        while at < end:
            begin = at
            key, at = _varint(message, at)
            kind = key & 7
            if kind == _BLOCK:
                size, at = _varint(message, at)
                if at + size > end:
                    return None
                if key >> 3 == wanted:
                    items.append(message[at : at + size])
                    at += size
                    continue
                at += size
            elif kind == 0:
                _, at = _varint(message, at)
            elif kind in _LENGTHS:
                at += _LENGTHS[kind]
            else:
                return None
            rest.append(message[begin:at])
    except IndexError:
        return None
    return (items, rest) if at == end else None


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7


def _head(field: int, size: int) -> bytes:
    out = bytearray([field << 3 | _BLOCK])
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
