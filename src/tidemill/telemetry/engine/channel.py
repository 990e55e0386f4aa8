"""What the server and its span-store child say to each other: a header of JSON and a body of bytes, each with its length."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, cast

import orjson

LENGTHS: Final = struct.Struct(">II")


def encode_message(header: Mapping[str, object], body: bytes = b"") -> bytes:
    """One message."""
    head = orjson.dumps(header)
    return LENGTHS.pack(len(head), len(body)) + head + body


def decode_header(content: bytes) -> Mapping[str, object]:
    """A message's header."""
    return cast("Mapping[str, object]", orjson.loads(content))
