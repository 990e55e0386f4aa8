"""Every error a user can meet, and the one place that maps each to HTTP and to an exit code.

A message says what failed and which value; `where` says where (`file:line`, a step, a field); `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

FailureKind: TypeAlias = Literal[
    "rate_limited", "overloaded", "timeout", "connection", "server", "content_filter", "context_length", "auth", "invalid"
]
"""Why a provider's attempt failed, for whoever decides what to try instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with one place in the user's input."""

    message: str
    where: str = ""
    hint: str = ""

    def as_line(self) -> str:
        """One line: place, message, hint."""
        place = f"{self.where}: " if self.where else ""
        hint = f"  {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"


class TidemillError(Exception):
    """The root of all errors that are meant for a user. Never raised itself. `kind`: why an attempt at a provider failed."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        where: str = "",
        problems: Sequence[Problem] = (),
        retry_after: float | None = None,
        kind: FailureKind | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.problems = tuple(problems)
        self.retry_after = retry_after
        self.kind: FailureKind | None = kind

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class Invalid(TidemillError):
    """The input is wrong: a spec, an argument, a body, a dataset."""

    code = "invalid"
    title = "Invalid input"


class NotFound(TidemillError):
    """What was named does not exist."""

    code = "not_found"
    title = "Not found"


class Conflict(TidemillError):
    """The state does not allow it: a lost race, a held lock, a newer data folder."""

    code = "conflict"
    title = "Conflict"


class PreconditionFailed(Conflict):
    """What `If-Match` named is not what is there any more: somebody else changed it in between."""

    code = "precondition_failed"
    title = "Changed in the meantime"


class KeyReused(Invalid):
    """An `Idempotency-Key` came again with another request."""

    code = "key_reused"
    title = "Idempotency-Key used for another request"


class TooLarge(Invalid):
    """The body is larger, deeper or has more parts than is taken."""

    code = "too_large"
    title = "Too large"


class UriTooLong(Invalid):
    """The address is longer than is taken."""

    code = "uri_too_long"
    title = "Address too long"


class HeadersTooLarge(Invalid):
    """The request's headers are longer, or more, than is taken."""

    code = "headers_too_large"
    title = "Headers too large"


class UnsupportedMedia(Invalid):
    """The body is of a type, or in an encoding, that the route does not take."""

    code = "unsupported_media"
    title = "Unsupported media type"


class MethodNotAllowed(Invalid):
    """The address exists, and does not answer this method; `Allow` says which it does."""

    code = "method_not_allowed"
    title = "Method not allowed"


class BodyTimeout(Invalid):
    """The body of a request took too long to arrive."""

    code = "body_timeout"
    title = "The request took too long to arrive"


class Denied(TidemillError):
    """The caller may not do this, or did not say who they are."""

    code = "denied"
    title = "Denied"


class Unauthenticated(Denied):
    """No key, or one that is not known."""

    code = "unauthenticated"
    title = "Not authenticated"


class Unavailable(TidemillError):
    """A part that is needed does not answer: a provider, a disk, a child process, the server."""

    code = "unavailable"
    title = "Unavailable"


class RateLimited(Unavailable):
    """A limit was reached; `retry_after` says in how many seconds to try again."""

    code = "rate_limited"
    title = "Rate limited"


class DeadlineExceeded(Unavailable):
    """The time that the caller allowed is over."""

    code = "deadline_exceeded"
    title = "Out of time"


class Overloaded(Unavailable):
    """There is more to do than can be done: the least important is turned away, and told when to come back."""

    code = "overloaded"
    title = "Overloaded"


class BudgetExceeded(TidemillError):
    """The money is gone; no waiting helps before the budget's next period."""

    code = "budget_exceeded"
    title = "Budget used up"


class StorageFull(Unavailable):
    """The disk has no room left. Nothing that was acknowledged is lost."""

    code = "storage_full"
    title = "Disk full"


class MissingExtra(TidemillError):
    """An optional part is not installed; the hint is the command to type."""

    code = "missing_extra"
    title = "An optional part is not installed"

    def __init__(self, extra: str, *, needed_for: str, also: str = "") -> None:
        command = f"pip install 'tidemill[{extra}]'" + (f" && {also}" if also else "")
        super().__init__(f"{needed_for} needs the extra {extra!r}", hint=f"Type: {command}")
        self.extra = extra


_CLASSES: tuple[type[TidemillError], ...] = (
    TidemillError, Invalid, NotFound, Conflict, Denied, Unauthenticated, Unavailable, RateLimited, StorageFull, MissingExtra,
    PreconditionFailed, KeyReused, TooLarge, UriTooLong, HeadersTooLarge, UnsupportedMedia, MethodNotAllowed, BodyTimeout,
    DeadlineExceeded, Overloaded, BudgetExceeded,
)  # fmt: skip
BY_CODE: Mapping[str, type[TidemillError]] = {each.code: each for each in _CLASSES}

HTTP_STATUS: Mapping[str, int] = {
    "internal": 500, "invalid": 400, "not_found": 404, "conflict": 409, "denied": 403, "unauthenticated": 401,
    "unavailable": 503, "rate_limited": 429, "storage_full": 507, "missing_extra": 501,
    "precondition_failed": 412, "key_reused": 422, "too_large": 413, "uri_too_long": 414, "headers_too_large": 431,
    "unsupported_media": 415, "method_not_allowed": 405, "body_timeout": 408,
    "deadline_exceeded": 504, "overloaded": 503, "budget_exceeded": 403,
}  # fmt: skip

EXIT_CODE: Mapping[str, int] = {
    "internal": 70, "invalid": 2, "not_found": 3, "conflict": 6, "denied": 4, "unauthenticated": 4,
    "unavailable": 5, "rate_limited": 5, "storage_full": 5, "missing_extra": 5,
    "precondition_failed": 6, "key_reused": 2, "too_large": 2, "uri_too_long": 2, "headers_too_large": 2,
    "unsupported_media": 2, "method_not_allowed": 2, "body_timeout": 2, "deadline_exceeded": 5,
    "overloaded": 5, "budget_exceeded": 4,
}  # fmt: skip


def error_from_code(
    code: str, message: str, *, hint: str = "", where: str = "", problems: Sequence[Problem] = ()
) -> TidemillError:
    """Rebuild the error that a server sent by its `code`; an unknown code is the root error."""
    kind = BY_CODE.get(code, TidemillError)
    error = TidemillError.__new__(kind)
    TidemillError.__init__(error, message, hint=hint, where=where, problems=problems)
    return error
