"""AWS's event streams: binary frames, each with its own length and two checksums.

https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemill.core.errors import Unavailable

_PRELUDE = struct.Struct(">III")
_LARGEST = 16 * 1024 * 1024
_LEAST = 16
_FIXED: Mapping[int, int] = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED = frozenset({6, 7})


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One message; of its headers, those that are text."""

    headers: Mapping[str, str]
    payload: bytes


@dataclass(kw_only=True, slots=True)
class FrameReader:
    """Takes bytes in pieces of any size and gives the frames that they complete."""

    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that `piece` completes. Raises `Unavailable` for one that is damaged or larger than 16 MiB."""
        self._rest += piece
        frames: list[Frame] = []
        while len(self._rest) >= _PRELUDE.size:
            size, headers_size, crc = _PRELUDE.unpack_from(self._rest)
            if binascii.crc32(self._rest[:8]) != crc:
                raise _damaged("a frame's beginning does not match its checksum")
            if not _LEAST + headers_size <= size <= _LARGEST:
                raise _damaged(f"a frame says that it has {size} bytes")
            if len(self._rest) < size:
                break
            frames.append(_frame(bytes(self._rest[:size]), headers_size))
            del self._rest[:size]
        return frames

    def end(self) -> None:
        """Raise `Unavailable` when the stream ended within a frame."""
        if self._rest:
            raise _damaged("the stream ended within a frame")


def _frame(content: bytes, headers_size: int) -> Frame:
    if binascii.crc32(content[:-4]) != int.from_bytes(content[-4:], "big"):
        raise _damaged("a frame does not match its checksum")
    start = _PRELUDE.size + headers_size
    return Frame(headers=_headers(content[_PRELUDE.size : start]), payload=content[start:-4])


def _headers(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(content):
            name_end = at + 1 + content[at]
            name, kind, at = content[at + 1 : name_end].decode(), content[name_end], name_end + 1
            if kind in _SIZED:
                size = int.from_bytes(content[at : at + 2], "big")
                at += 2
            else:
                size = _FIXED[kind]
            if at + size > len(content):
                raise _damaged("a frame's header is cut off")
            if kind == 7:
                found[name] = content[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise _damaged("a frame's headers cannot be read") from error
    return found


def write_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame whose headers are text: for a server that speaks this form, and for tests of one."""
    written = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    start = struct.pack(">II", _LEAST + len(written) + len(payload), len(written))
    content = start + binascii.crc32(start).to_bytes(4, "big") + written + payload
    return content + binascii.crc32(content).to_bytes(4, "big")


def _damaged(what: str) -> Unavailable:
    return Unavailable(
        f"the event stream cannot be read: {what}", hint="Something between here and AWS changed it.", kind="server"
    )
