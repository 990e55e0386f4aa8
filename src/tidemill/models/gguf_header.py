"""What a GGUF file says of itself in its header: name, architecture, base model, licence. The tensors are not read.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tidemill.core.errors import Invalid
from tidemill.core.json import Json

_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MOST_ENTRIES = 10_000
_LONGEST = 16 * 1024 * 1024


def read_gguf_header(path: Path) -> Mapping[str, Json]:
    """The header's values by key; of arrays, lists of at most eight texts or numbers and their length under `KEY.length`.

    Raises `Invalid` for what is not a whole GGUF header.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise Invalid(f"{path.name} is not a GGUF file")
            _, _, entries = struct.unpack("<IQQ", file.read(20))
            if entries > _MOST_ENTRIES:
                raise Invalid(f"{path.name} claims {entries} values in its header")
            values: dict[str, Json] = {}
            for _ in range(entries):
                key = _text(file)
                _read_value(file, key, values)
            return values
    except (struct.error, KeyError, UnicodeDecodeError, MemoryError) as error:
        raise Invalid(f"{path.name} has a broken GGUF header: {error}") from error


def _read_value(file: BinaryIO, key: str, values: dict[str, Json]) -> None:
    kind = _number(file, "<I")
    if kind != _ARRAY:
        values[key] = _text(file) if kind == _STRING else _number(file, _FORMATS[int(kind)])
        return
    inner, length = int(_number(file, "<I")), int(_number(file, "<Q"))
    values[f"{key}.length"] = length
    if inner == _STRING:
        texts = [_text(file) for _ in range(length)]
        values[key] = texts[:8]
        return
    size = struct.calcsize(_FORMATS[inner])
    values[key] = [_number(file, _FORMATS[inner]) for _ in range(min(length, 8))]
    file.seek(size * max(0, length - 8), 1)


def _number(file: BinaryIO, form: str) -> int | float:
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return value


def _text(file: BinaryIO) -> str:
    length = int(_number(file, "<Q"))
    if length > _LONGEST:
        raise Invalid(f"a text in the header claims {length} bytes")
    content = file.read(length)
    if len(content) < length:
        raise struct.error("it ends early")
    return content.decode("utf-8")
