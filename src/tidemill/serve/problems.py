"""Errors in the shape that chat-completions clients read: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidemill.core.errors import HTTP_STATUS, Denied, TidemillError
from tidemill.core.json import Json, JsonObject
from tidemill.flows.results import Blocked

_TYPES: Final[Mapping[int, str]] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Final[Mapping[str, str]] = {
    "unauthenticated": "invalid_api_key",
    "denied": "permission_denied",
    "not_found": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
}


class UpstreamDenied(TidemillError):
    """A provider refused our own credentials: nothing the caller could mend with another key."""

    code = "upstream_denied"
    title = "The provider refused"


class ContentFiltered(TidemillError):
    """A guardrail refused what the caller sent, or what would have been answered."""

    code = "content_filter"
    title = "Blocked by a guardrail"


class TooLarge(TidemillError):
    """The request's body is beyond the limit."""

    code = "request_too_large"
    title = "Request too large"


class WrongMethod(TidemillError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    title = "Method not allowed"


_STATUS: Final[Mapping[str, int]] = {
    **HTTP_STATUS,
    "content_filter": 400,
    "upstream_denied": 502,
    "request_too_large": 413,
    "method_not_allowed": 405,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An error, ready to be sent."""

    status: int
    body: JsonObject
    retry_after: float | None = None


def refusal_of(error: TidemillError) -> Refusal:
    """The status and body for an error. The message carries the hint, since clients show nothing else."""
    status = _STATUS[error.code]
    lines = [error.message, error.hint, *(each.as_line() for each in error.problems)]
    body: dict[str, Json] = {
        "message": " ".join(each.rstrip() if each.rstrip().endswith((".", "?", "!")) else f"{each}." for each in lines if each),
        "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": error.where or None,
        "code": _CODES.get(error.code, error.code),
    }
    return Refusal(status=status, body={"error": body}, retry_after=error.retry_after)


def refusal_of_crash(*, trace: str | None) -> Refusal:
    """The answer for a fault of ours: no detail but where to look."""
    seen = f" Its trace is {trace}." if trace else ""
    body: dict[str, Json] = {
        "message": f"The server failed on this request.{seen} The server's log says why.",
        "type": "server_error",
        "param": None,
        "code": "internal",
    }
    return Refusal(status=500, body={"error": body})


def from_run(error: TidemillError) -> TidemillError:
    """An error from inside a run as the caller should see it: a provider's "wrong key" is ours to mend, not theirs."""
    if isinstance(error, Blocked):
        return ContentFiltered(error.message, hint=error.hint, where=error.where)
    if isinstance(error, Denied):
        return UpstreamDenied(error.message, hint=error.hint, where=error.where)
    return error
