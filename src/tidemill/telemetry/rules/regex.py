"""Patterns matched in time linear in the text (RE2): no pattern that somebody wrote, and no text, can stall us."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

from tidemill.core.errors import Invalid

Place: TypeAlias = tuple[int, int]
Find: TypeAlias = Callable[[str], Iterator[Place]]
"""From a text to where something stands in it: `[start, end)` in characters, in order, without overlaps."""

_LONGEST: Final = 1000
_HINT: Final = "Patterns are RE2's (https://github.com/google/re2/wiki/Syntax): no look-around, no back-references."


def compile_pattern(text: str) -> Find:
    """What finds a pattern in a text. Raises `Invalid` for one that RE2 does not take, that is too long or matches nothing."""
    if len(text) > _LONGEST:
        raise Invalid(f"the pattern has {len(text):,} characters", hint=f"Keep it below {_LONGEST:,}; write two rules.")
    if _compiled(text).search("") is not None:
        raise Invalid(f"the pattern {text!r} matches an empty text, so it would match everywhere", hint="Write + for *.")
    return functools.partial(find_all, text)


def find_all(pattern: str, text: str) -> Iterator[Place]:
    """Where a pattern matches in a text."""
    compiled = _compiled(pattern)
    try:
        found = [each.span() for each in compiled.finditer(text)]
    except UnicodeEncodeError:
        found = [each.span() for each in compiled.finditer(_encodable(text))]
    return ((start, end) for start, end in found if end > start)


def has_match(pattern: str, text: str) -> bool:
    """Whether a pattern matches anywhere in a text."""
    compiled = _compiled(pattern)
    try:
        return compiled.search(text) is not None
    except UnicodeEncodeError:
        return compiled.search(_encodable(text)) is not None


def _encodable(text: str) -> str:
    """The text with one other character for each lone half of a surrogate pair, which no UTF-8 can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    # It has no types.
    import re2 as untyped  # noqa: PLC0415  (only where a project has rules)  # pyright: ignore[reportMissingTypeStubs]

    re2 = cast("Any", untyped)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        said = cast("BaseException", error).args[:1]
        reason = said[0].decode("utf-8", "replace") if said and isinstance(said[0], bytes) else str(cast("object", error))
        raise Invalid(f"the pattern {text!r} cannot be used: {reason}", hint=_HINT) from error


def join_places(places: Sequence[Place]) -> Iterator[Place]:
    """In order, those that overlap as one, so that of neither anything is left."""
    begun: Place | None = None
    for start, end in sorted(places):
        if begun is None or start >= begun[1]:
            if begun is not None:
                yield begun
            begun = (start, end)
        else:
            begun = (begun[0], max(begun[1], end))
    if begun is not None:
        yield begun
