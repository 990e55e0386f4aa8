"""Why an attempt failed, and what a caller is told when no target is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import FailureKind, Invalid, RateLimited, TidemillError, Unavailable
from tidemill.models.routing.course import End
from tidemill.models.routing.spec import Route

_OF_THE_REQUEST: Final[frozenset[FailureKind]] = frozenset({"invalid", "content_filter", "context_length"})


def kind_of(error: TidemillError) -> FailureKind:
    """Why an attempt failed; where nobody said, by the error's class."""
    if error.kind is not None:
        return error.kind
    if isinstance(error, RateLimited):
        return "rate_limited"
    if isinstance(error, Unavailable):
        return "server"
    return "auth" if error.code in {"denied", "unauthenticated"} else "invalid"


def ended(route: Route, failed: Mapping[str, TidemillError], end: End, *, is_late: bool) -> TidemillError:
    """The error for a request that nobody answered; `failed` are the last errors by target, in their order.

    What a target said of the request itself is told as it was said: it is the caller's to mend.
    """
    kinds: list[FailureKind] = [kind_of(each) for each in failed.values()]
    for each, error in zip(kinds, failed.values(), strict=True):
        if each in _OF_THE_REQUEST:
            return error
    told = {**end.reasons, **{name: error.message for name, error in failed.items()}}
    said = "; ".join(f"{name}: {why}" if name else why for name, why in told.items())
    after = _soonest(failed, end)
    if kinds and all(each == "rate_limited" for each in kinds):
        return RateLimited(f"every target of {route.name} is rate limited: {said}", retry_after=after, kind="rate_limited")
    if not failed and "" in end.reasons:
        hint = "Give one of its targets no condition, so that there is always one."
        return Invalid(f"no target of {route.name} takes this request: {said}", hint=hint, kind="invalid")
    hint = f"See how they are: tidemill routes show {route.name.partition('/')[2]}"
    last: FailureKind = kinds[-1] if kinds else "overloaded"
    kind: FailureKind = "timeout" if is_late else last
    return Unavailable(f"no target of {route.name} answered: {said}", hint=hint, retry_after=after, kind=kind)


def _soonest(failed: Mapping[str, TidemillError], end: End) -> float | None:
    waits = [each.retry_after for each in failed.values()] + [end.retry_after]
    known = [each for each in waits if each is not None]
    return min(known) if known else None
