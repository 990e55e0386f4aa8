"""One page of a list, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tidemill.core.errors import Invalid

T = TypeVar("T")
LARGEST_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some items of a list; `next` is the cursor of the following page, None after the last."""

    items: tuple[T, ...]
    next: str | None = None


def check_limit(limit: int) -> int:
    """Return `limit`, or raise `Invalid` when it is not 1 to 1000."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(f"limit {limit} is not allowed", hint=f"Use 1 to {LARGEST_PAGE}.")
    return limit


def make_page(items: Sequence[T], *, limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """A page out of `limit + 1` items that were asked for: the extra one says only that there is more."""
    kept = tuple(items[:limit])
    return Page(items=kept, next=cursor_of(kept[-1]) if len(items) > limit else None)
