"""An error as exporters understand it: which HTTP status and gRPC code, and whether to send again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidemill.core.errors import HTTP_STATUS, TidemillError
from tidemill.telemetry.otlp import answers

_STATUS: Final[Mapping[str, int]] = {**HTTP_STATUS, "storage_full": 503, "request_too_large": 413, "missing_extra": 503}
_CODES: Final[Mapping[int, int]] = {
    401: answers.UNAUTHENTICATED, 429: answers.RESOURCE_EXHAUSTED, 500: answers.INTERNAL, 503: answers.UNAVAILABLE,
    403: answers.PERMISSION_DENIED, 404: answers.PERMISSION_DENIED, 405: answers.UNIMPLEMENTED,
    409: answers.FAILED_PRECONDITION, 413: answers.RESOURCE_EXHAUSTED,
}  # fmt: skip
_RETRY_SECONDS: Final[Mapping[int, float]] = {429: 1.0, 503: 5.0}
"""Only these are sent again by an exporter; 500 and 4xx are not."""
_CLOSING: Final = frozenset({408, 413, 429})


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """An error, ready to be sent.

    `retry_after` (seconds) is there when the sender should try again; `closes` when the rest of the body was not read.
    """

    status: int
    code: int
    message: str
    retry_after: float | None = None
    closes: bool = False


def problem_of(error: TidemillError) -> Problem:
    """The status, code and message for an error."""
    status = _STATUS[error.code]
    lines = (error.message, error.hint)
    message = " ".join(each if each.endswith((".", "?", "!")) else f"{each}." for each in lines if each)
    again = _RETRY_SECONDS.get(status)
    return Problem(
        status=status,
        code=_CODES.get(status, answers.INVALID_ARGUMENT),
        message=message,
        retry_after=None if again is None else error.retry_after or again,
        closes=status in _CLOSING,
    )


def problem_of_crash() -> Problem:
    """For a fault of ours: nothing says that it happens again, so the sender keeps what it has and tries once more."""
    message = "The server failed on this request. The server's log says why."
    return Problem(status=503, code=answers.UNAVAILABLE, message=message, retry_after=_RETRY_SECONDS[503])
