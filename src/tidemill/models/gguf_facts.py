"""A whole look at a GGUF file: its header, its table of tensors, and whether their data is there. No data is read.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block sizes from ggml.h.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.models.gguf_header import LONGEST_NAME, GgufReader

_MOST_DIMENSIONS = 4

_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""A tensor's type: its name, elements a block, bytes a block."""

_FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufFacts:
    """What the file says of itself; empty or None where it does not say."""

    version: int
    name: str
    architecture: str
    context: int | None
    quantisation: str
    parameters: int
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tensor:
    name: str
    elements: int
    kind: int
    offset: int

    @property
    def bytes(self) -> int:
        """How much data it has; 0 for a type that is not known."""
        _, block, size = _TYPES.get(self.kind, ("", 1, 0))
        return math.ceil(self.elements / block) * size


def read_gguf(path: Path) -> GgufFacts:
    """Read and check. Raises `Invalid` for what is no model, is cut off, or claims more than the file holds."""
    with path.open("rb") as file:
        reader = GgufReader(file, path)
        header = reader.header()
        tensors = [_read_tensor(reader) for _ in range(header.tensors)]
        start = _aligned(reader.at, header.values.get("general.alignment"), name=path.name)
    _check_data(tensors, start=start, size=path.stat().st_size, name=path.name)
    return _facts(header.values, tensors, version=header.version, name=path.name)


def _read_tensor(reader: GgufReader) -> _Tensor:
    name = reader.text(LONGEST_NAME)
    dimensions = int(reader.number("<I"))
    if dimensions > _MOST_DIMENSIONS:
        raise Invalid(f"{reader.name}: the tensor {name[:80]!r} claims {dimensions} dimensions", hint="The file is broken.")
    elements = math.prod(int(reader.number("<Q")) for _ in range(dimensions))
    return _Tensor(name=name, elements=elements, kind=int(reader.number("<I")), offset=int(reader.number("<Q")))


def _aligned(at: int, alignment: Json, *, name: str) -> int:
    step = int(alignment) if isinstance(alignment, int) else 32
    if not 1 <= step <= 1 << 20 or step & (step - 1):
        raise Invalid(f"{name} claims an alignment of {step}", hint="The file is broken or hostile.")
    return (at + step - 1) // step * step


def _check_data(tensors: list[_Tensor], *, start: int, size: int, name: str) -> None:
    if not tensors:
        raise Invalid(f"{name} has no tensors: it holds a vocabulary or nothing", hint="Add a file with weights.")
    last = max(tensors, key=lambda each: each.offset + each.bytes)
    needed = start + last.offset + last.bytes
    if needed > size:
        raise Invalid(
            f"{name} is cut off: {last.name[:80]!r} ends at byte {needed}, and the file has {size}",
            hint="Fetch the file again.",
        )


def _facts(values: Mapping[str, Json], tensors: list[_Tensor], *, version: int, name: str) -> GgufFacts:
    if values.get("general.type", "model") != "model":
        raise Invalid(
            f"{name} is of type {values['general.type']!r}, not a model",
            hint="An adapter is tuned or merged first: tidemill tune --help",
        )
    architecture = str(values.get("general.architecture", ""))
    if not architecture:
        raise Invalid(f"{name} does not say its architecture", hint="Convert the model again with a current converter.")
    context = values.get(f"{architecture}.context_length")
    weights = Counter[int]()
    for each in tensors:
        weights[each.kind] += each.elements
    most = _TYPES.get(weights.most_common(1)[0][0], ("", 1, 0))[0]
    file_type = values.get("general.file_type")
    return GgufFacts(
        version=version,
        name=str(values.get("general.name", "")),
        architecture=architecture,
        context=int(context) if isinstance(context, int) else None,
        quantisation=_FILE_TYPES.get(int(file_type), most) if isinstance(file_type, int) else most,
        parameters=sum(weights.values()),
        licence=str(values.get("general.license", "")),
    )
