"""Small files of weights, made byte by byte, whole and broken."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def gguf(
    *, version: int = 3, licence: str = "apache-2.0", tensors: int | None = None, entries: int | None = None,
    extra: bytes = b"",
    extra_count: int = 0, data: int = 64, general_type: str = "model", architecture: str = "llama", elements: int = 16,
) -> bytes:  # fmt: skip
    """One F32 tensor of 16 elements; the counts that it claims can be others."""
    values = [
        entry("general.architecture", 8, text(architecture)) if architecture else b"",
        entry("general.type", 8, text(general_type)),
        entry("general.name", 8, text("Tiny")),
        entry("general.license", 8, text(licence)),
        entry("general.file_type", 4, struct.pack("<I", 0)),
        entry("llama.context_length", 4, struct.pack("<I", 2048)),
        entry("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
        entry("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 2) + struct.pack("<ff", 0, 1)),
    ]
    values = [each for each in values if each]
    tensor = text("w") + struct.pack("<IQIQ", 1, elements, 0, 0)
    head = b"GGUF" + struct.pack(
        "<IQQ", version, 1 if tensors is None else tensors, len(values) + extra_count if entries is None else entries
    )
    whole = head + b"".join(values) + extra + tensor
    return whole + b"\0" * (-len(whole) % 32) + b"\0" * data


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def onnx(*, external: bool = False, ir: int = 8) -> bytes:
    tensor = field(8, b"weight") + (
        field(13, field(1, b"location") + field(2, b"../secret")) + field(14, 1) if external else b""
    )
    graph = field(2, b"main") + field(5, tensor)
    return field(1, ir) + field(2, b"made") + field(7, graph) + field(8, field(2, 13))
