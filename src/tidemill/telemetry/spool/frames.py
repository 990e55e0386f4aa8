"""The frames of a spool segment: a mark, a length, a checksum, the payload.

The mark lets a reader find the next whole frame after a damaged one. The checksum (CRC-32) covers length and payload.

A payload is the name of a table of the span store, a line feed, and rows of it: JSON objects, a line each. With ` native` after
the name it is one block of `native.py` instead. One that begins with `{` is a single row of `spans`, as older versions
wrote it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_MARK: Final = b"\xf5TM1"
_HEADER: Final = struct.Struct(">4sII")
LARGEST_PAYLOAD: Final = 64 * 1024 * 1024
LARGEST_ROW: Final = LARGEST_PAYLOAD - 256
_GATHERED: Final = 64 * 1024
_TABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
SPANS: Final = "spans"
_BLOCK: Final = b" native"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """Whole payloads in order, the offset after the last byte looked at, and how many bytes held no whole frame.

    Of those, `torn` bytes are the last ones: a frame that was cut off, as a kill leaves it. The others were whole once.
    """

    payloads: Sequence[bytes]
    end: int
    skipped: int
    torn: int = 0


def encode_frame(payload: bytes) -> bytes:
    """One frame around `payload`, which is at most `LARGEST_PAYLOAD` bytes."""
    return _HEADER.pack(_MARK, len(payload), _checksum(payload)) + payload


def encode_rows(table: str, rows: Iterable[bytes]) -> bytes:
    """Frames with rows of a table, each row at most `LARGEST_ROW` bytes and without a line feed.

    About 64 KiB of rows share a frame: cheap to write, and damage to one costs no more than those.
    """
    if not _TABLE.fullmatch(table):
        raise ValueError(f"{table!r} is not the name of a table")
    head = table.encode() + b"\n"
    frames: list[bytes] = []
    gathered: list[bytes] = []
    size = 0
    for row in rows:
        if size + len(row) > _GATHERED and gathered:
            frames.append(encode_frame(head + b"\n".join(gathered)))
            gathered, size = [], 0
        gathered.append(row)
        size += len(row)
    if gathered:
        frames.append(encode_frame(head + b"\n".join(gathered)))
    return b"".join(frames)


class Rows(NamedTuple):
    """Rows of a table: a block of columns, or JSON objects, a line each."""

    table: str
    is_block: bool
    content: bytes


def encode_block_frame(table: str, block: bytes) -> bytes:
    """The frame of a block of columns, which is at most `LARGEST_ROW` bytes."""
    return encode_frame(table.encode() + _BLOCK + b"\n" + block)


def decode_rows(payload: bytes) -> Rows:
    """What a payload holds. Raises `ValueError` for one that is no such payload."""
    if payload.startswith(b"{"):
        return Rows(SPANS, is_block=False, content=payload)
    head, _, content = payload.partition(b"\n")
    table = head.removesuffix(_BLOCK).decode("ascii")
    if not _TABLE.fullmatch(table):
        raise ValueError(f"{table!r} is not the name of a table")
    return Rows(table, is_block=head.endswith(_BLOCK), content=content)


def decode_frames(content: bytes, *, final: bool) -> Decoded:
    """Every whole frame of `content`.

    Unless `final`, an unfinished frame at the end is left for later; else it was torn off by a crash and is skipped.
    """
    payloads: list[bytes] = []
    at = skipped = torn = 0
    while at < len(content):
        payload = _frame_at(content, at)
        if payload is not None:
            payloads.append(payload)
            at += _HEADER.size + len(payload)
            continue
        if not final and _may_go_on(content, at):
            break
        following = content.find(_MARK, at + 1)
        if following < 0:
            torn = len(content) - at if final and _may_go_on(content, at) else 0
            following = len(content) if final else max(at, len(content) - len(_MARK) + 1)
        skipped += following - at
        if following == at:
            break
        at = following
    return Decoded(payloads=payloads, end=at, skipped=skipped, torn=torn)


def _frame_at(content: bytes, at: int) -> bytes | None:
    if len(content) - at < _HEADER.size:
        return None
    mark, length, checksum = _HEADER.unpack_from(content, at)
    start = at + _HEADER.size
    if mark != _MARK or length > LARGEST_PAYLOAD or start + length > len(content):
        return None
    payload = content[start : start + length]
    return payload if _checksum(payload) == checksum else None


def _may_go_on(content: bytes, at: int) -> bool:
    """Whether what stands at `at` could be the beginning of a whole frame whose rest has not been read yet."""
    if len(content) - at < _HEADER.size:
        return _MARK.startswith(content[at : at + len(_MARK)])
    mark, length, _ = _HEADER.unpack_from(content, at)
    return mark == _MARK and length <= LARGEST_PAYLOAD and at + _HEADER.size + length > len(content)


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, len(payload))
