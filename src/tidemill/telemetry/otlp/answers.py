"""What is answered to an export: all or part of it was taken, or an error as a `google.rpc.Status`; in binary or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import orjson

Form: TypeAlias = Literal["protobuf", "json"]
Signal: TypeAlias = Literal["traces", "logs", "metrics"]

MEDIA: Final[dict[Form, str]] = {"protobuf": "application/x-protobuf", "json": "application/json"}
INVALID_ARGUMENT: Final = 3
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16
_REJECTED: Final[dict[Signal, str]] = {
    "traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints",
}  # fmt: skip
_RETRY_INFO: Final = b"type.googleapis.com/google.rpc.RetryInfo"


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A request that was taken: how many items of it were rejected, and what there is to say, also when none was."""

    rejected: int = 0
    message: str = ""


def encode_taken(taken: Taken, *, signal: Signal, form: Form) -> bytes:
    """`Export…ServiceResponse`; without anything to say it is empty, as the specification wants it."""
    if form == "json":
        if not taken.rejected and not taken.message:
            return b"{}"
        # 64-bit integers are text in protobuf's JSON
        partial = {_REJECTED[signal]: str(taken.rejected), "errorMessage": taken.message}
        return orjson.dumps({"partialSuccess": partial})
    if not taken.rejected and not taken.message:
        return b""
    return _block(1, _number(1, taken.rejected) + _block(2, taken.message.encode()))


def encode_status(code: int, message: str, *, form: Form, retry_after: float | None = None) -> bytes:
    """`google.rpc.Status`, with `RetryInfo` where the sender should try again after some seconds."""
    if form == "json":
        detail = {"@type": _RETRY_INFO.decode(), "retryDelay": f"{retry_after:g}s"} if retry_after is not None else None
        return orjson.dumps({"code": code, "message": message, "details": [detail] if detail else []})
    detail = b""
    if retry_after is not None:
        delay = _number(1, int(retry_after)) + _number(2, int(retry_after % 1 * 1e9))
        detail = _block(3, _block(1, _RETRY_INFO) + _block(2, _block(1, delay)))
    return _number(1, code) + _block(2, message.encode("utf-8", "replace")) + detail


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _block(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
