"""Files of weights: which can be taken in, what they say of themselves, and why the others cannot.

Nothing in a file is run or believed: a header is read within the bounds of the file, and what claims more than there is, is
refused. Formats that run code when they are loaded (pickles, under whatever ending) are refused by name.

Sources: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md); onnx.proto3 (github.com/onnx/onnx).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.models.gguf_facts import read_gguf
from tidemill.models.onnx_facts import read_onnx

Format: TypeAlias = Literal["gguf", "onnx"]

_PICKLE_ENDINGS = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".mar", ".npy", ".npz"})
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x80\x01", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY")
_OLD_PICKLES = (b"(lp", b"(dp", b"(ip", b"c__builtin__", b"cposix", b"cos\n", b"ctorch", b"cnumpy", b"ccopy_reg")
_CONVERT = "Convert it to GGUF (chat models) or export it to ONNX (embedders), then add that file."


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What a file of weights says of itself; empty or None where it does not say. `bytes` is its size, `context` in tokens."""

    format: Format
    bytes: int
    name: str = ""
    architecture: str = ""
    context: int | None = None
    quantisation: str = ""
    parameters: int | None = None
    licence: str = ""


def inspect_file(path: Path) -> FileFacts:
    """Look into a file of weights. Raises `Invalid` for a pickle, an unknown format, or one that is cut off or broken."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
        size = path.stat().st_size
    except OSError as error:
        raise Invalid(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from error
    _refuse(path, start)
    if start.startswith(b"GGUF"):
        gguf = read_gguf(path)
        return FileFacts(
            format="gguf", bytes=size, name=gguf.name, architecture=gguf.architecture, context=gguf.context,
            quantisation=gguf.quantisation, parameters=gguf.parameters, licence=gguf.licence,
        )  # fmt: skip
    if path.suffix.lower() == ".onnx" or start.startswith(b"\x08"):
        onnx = read_onnx(path)
        return FileFacts(format="onnx", bytes=size, name=onnx.graph, architecture=onnx.producer)
    shown = f"begins with {start[:4]!r}" if start else "is empty"
    raise Invalid(f"{path.name} is neither GGUF nor ONNX: it {shown}", where=str(path), hint=_CONVERT)


def _refuse(path: Path, start: bytes) -> None:
    if path.suffix.lower() in _PICKLE_ENDINGS or start.startswith((*_PICKLES, *_OLD_PICKLES)):
        raise Invalid(
            f"{path.name} is a pickle or an archive of pickles, which can run code when it is loaded", where=str(path),
            hint=_CONVERT,
        )  # fmt: skip
    if path.suffix.lower() == ".safetensors" or (len(start) > 8 and start[8:9] == b"{" and start[4:8] == b"\0\0\0\0"):
        raise Invalid(f"{path.name} is a safetensors file, which nothing here serves", where=str(path), hint=_CONVERT)
