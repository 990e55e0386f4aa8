"""A look at an ONNX file without any protobuf library: that it is a whole model, and that its weights are inside.

Source: onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tidemill.core.errors import Invalid

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_GRAPH, _PRODUCER, _IR, _OPSETS = 7, 2, 1, 8
_GRAPH_NAME, _INITIALIZER = 2, 5
_EXTERNAL, _LOCATION = 13, 14
_LONGEST_TEXT = 1024
_NEWEST_IR = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFacts:
    """What the file says of itself; empty where it does not say."""

    ir_version: int
    producer: str
    graph: str
    initializers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """A field of a message: for bytes where they begin and how many there are, else its value."""

    number: int
    wire: int
    value: int
    start: int = 0


def read_onnx(path: Path) -> OnnxFacts:
    """Read and check. Raises `Invalid` for what is no ONNX model, is cut off, or keeps weights in other files."""
    size = path.stat().st_size
    with path.open("rb") as file:
        fields = list(_fields(file, start=0, end=size, name=path.name))
        known = {each.number: each for each in fields}
        if any(each.number not in _MODEL_FIELDS for each in fields) or not {_IR, _GRAPH} <= known.keys():
            raise _broken(path.name, "its fields are not those of an ONNX model")
        if known[_IR].wire != _VARINT or not 1 <= known[_IR].value <= _NEWEST_IR or known[_GRAPH].wire != _BYTES:
            raise _broken(path.name, "its version or its graph has a wrong form")
        graph = known[_GRAPH]
        inside = list(_fields(file, start=graph.start, end=graph.start + graph.value, name=path.name))
        initializers = [each for each in inside if each.number == _INITIALIZER and each.wire == _BYTES]
        for each in initializers:
            _refuse_external(file, each, name=path.name)
        return OnnxFacts(
            ir_version=known[_IR].value,
            producer=_text(file, known.get(_PRODUCER)),
            graph=_text(file, next((each for each in inside if each.number == _GRAPH_NAME), None)),
            initializers=len(initializers),
        )


def _refuse_external(file: BinaryIO, tensor: _Field, *, name: str) -> None:
    for each in _fields(file, start=tensor.start, end=tensor.start + tensor.value, name=name):
        if each.number == _EXTERNAL or (each.number == _LOCATION and each.value != 0):
            raise Invalid(
                f"{name} keeps weights in another file, which is not read",
                hint="Save it as one file (save_as_external_data=False).",
            )


def _fields(file: BinaryIO, *, start: int, end: int, name: str) -> Iterator[_Field]:
    """The fields of the message at `[start, end)`; bytes are stepped over."""
    at = start
    while at < end:
        file.seek(at)
        tag, at = _varint(file, at, end=end, name=name)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            length, at = _varint(file, at, end=end, name=name)
            if length > end - at:
                raise _broken(name, f"a field of {length} bytes where {end - at} are left: it is cut off")
            yield _Field(number=number, wire=wire, value=length, start=at)
            at += length
        elif wire == _VARINT:
            value, at = _varint(file, at, end=end, name=name)
            yield _Field(number=number, wire=wire, value=value)
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
            if at > end:
                raise _broken(name, "it is cut off")
            yield _Field(number=number, wire=wire, value=0)
        else:
            raise _broken(name, f"a field of wire type {wire}")


def _varint(file: BinaryIO, at: int, *, end: int, name: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte or at >= end:
            raise _broken(name, "it is cut off")
        at += 1
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value, at
    raise _broken(name, "a number of more than 64 bits")


def _text(file: BinaryIO, field: _Field | None) -> str:
    if field is None or field.wire != _BYTES or field.value > _LONGEST_TEXT:
        return ""
    file.seek(field.start)
    return file.read(field.value).decode("utf-8", "replace")


def _broken(name: str, why: str) -> Invalid:
    return Invalid(f"{name} is not a whole ONNX file: {why}", hint="Fetch or export it again.")
