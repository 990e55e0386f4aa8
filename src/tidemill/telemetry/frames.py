"""The frames of a spool segment: a mark, a length, a checksum, the payload.

The mark lets a reader find the next whole frame after a damaged one. The checksum (CRC-32) covers length and payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MARK: Final = b"\xf5TM1"
_HEADER: Final = struct.Struct(">4sII")
LARGEST_PAYLOAD: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """Whole payloads in order, the offset after the last byte looked at, and how many bytes held no whole frame."""

    payloads: Sequence[bytes]
    end: int
    skipped: int


def encode_frame(payload: bytes) -> bytes:
    """One frame around `payload`, which is at most `LARGEST_PAYLOAD` bytes."""
    return _HEADER.pack(_MARK, len(payload), _checksum(payload)) + payload


def decode_frames(content: bytes, *, final: bool) -> Decoded:
    """Every whole frame of `content`.

    Unless `final`, an unfinished frame at the end is left for later; else it was torn off by a crash and is skipped.
    """
    payloads: list[bytes] = []
    at = skipped = 0
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
            following = len(content) if final else max(at, len(content) - len(_MARK) + 1)
        skipped += following - at
        if following == at:
            break
        at = following
    return Decoded(payloads=payloads, end=at, skipped=skipped)


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
