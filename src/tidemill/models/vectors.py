"""Vectors as providers write them, packed."""

from __future__ import annotations

import array
import base64
import binascii
from collections.abc import Sequence
from typing import cast

from tidemill.core.chat import Connection, Vectors
from tidemill.core.errors import Unavailable
from tidemill.core.json import Json


def read_vectors(rows: Sequence[Json], provider: str, connection: Connection) -> Vectors:
    """Pack lists of numbers, or base64 of 32-bit floats. Raises `Unavailable` for anything else, and for different lengths."""
    where = f"connection/{connection.name}"
    try:
        packed = [
            base64.b64decode(row, validate=True)
            if isinstance(row, str)
            else array.array("f", cast("Sequence[float]", row)).tobytes()
            for row in rows
        ]
    except (TypeError, binascii.Error) as error:
        said = f"{provider} answered with vectors that are not lists of numbers: {error}"
        raise Unavailable(said, where=where, kind="server") from error
    width = len(packed[0]) if packed else 0
    if any(len(each) != width for each in packed) or not width or width % 4:
        raise Unavailable(f"{provider} answered with vectors of different or no length", where=where, kind="server")
    return Vectors(dimensions=width // 4, data=b"".join(packed))
