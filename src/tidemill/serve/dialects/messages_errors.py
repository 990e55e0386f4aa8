"""Errors in the shape of `/v1/messages`: `{"type": "error", "error": {"type", "message"}}`, with its statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import FailureKind, TidemillError
from tidemill.core.json import JsonObject
from tidemill.serve.problems import Refusal, refusal_of

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
_BY_KIND: Final[Mapping[FailureKind, int]] = {"overloaded": 529, "timeout": 504, "context_length": 413}


def messages_refusal(error: TidemillError) -> Refusal:
    """An error as clients of this dialect read it; `error.param` and `error.code` are what only we add."""
    refusal = refusal_of(error)
    status = _status(error, refusal.status)
    detail = refusal.body["error"]
    message, param, code = (detail.get(name) if isinstance(detail, Mapping) else None for name in ("message", "param", "code"))
    body: JsonObject = {"type": _type(status), "message": message, "param": param, "code": code}
    return Refusal(status=status, body={"type": "error", "error": body}, retry_after=refusal.retry_after)


def messages_crash(*, trace: str | None) -> Refusal:
    """The answer for a fault of ours."""
    seen = f" Its trace is {trace}." if trace else ""
    message = f"The server failed on this request.{seen} The server's log says why."
    return Refusal(status=500, body={"type": "error", "error": {"type": "api_error", "message": message}})


def _status(error: TidemillError, status: int) -> int:
    """The status: 529 for what is overloaded, 504 for what was silent."""
    if error.kind in _BY_KIND and status not in {401, 403, 429}:
        return _BY_KIND[error.kind]
    return 529 if status == 503 else status


def _type(status: int) -> str:
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
