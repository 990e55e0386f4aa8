"""Patterns that somebody wrote, matched in time linear in the text (RE2): no pattern and no text can stall us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

from tidemill.core.errors import Invalid

Place: TypeAlias = tuple[int, int]
Find: TypeAlias = Callable[[str], Iterator[Place]]
"""From a text to where something stands in it: `[start, end)` in characters, in order, without overlaps."""

_LONGEST: Final = 1000
_HINT: Final = "Patterns are RE2's (https://github.com/google/re2/wiki/Syntax): no look-around, no back-references."


def compile_pattern(text: str) -> Find:
    """What finds a pattern in a text. Raises `Invalid` for one that RE2 does not take, that is too long or matches nothing."""
    # It has no types.
    import re2 as untyped  # noqa: PLC0415  (only where a project has a pattern of its own)  # pyright: ignore[reportMissingTypeStubs]

    re2 = cast("Any", untyped)

    if len(text) > _LONGEST:
        raise Invalid(f"the pattern has {len(text):,} characters", hint=f"Keep it below {_LONGEST:,}; write two rules.")
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        said = cast("BaseException", error).args[:1]
        reason = said[0].decode("utf-8", "replace") if said and isinstance(said[0], bytes) else str(cast("object", error))
        raise Invalid(f"the pattern {text!r} cannot be used: {reason}", hint=_HINT) from error
    if compiled.search("") is not None:
        raise Invalid(f"the pattern {text!r} matches an empty text, so it would match everywhere", hint="Write + for *.")

    def find(value: str) -> Iterator[Place]:
        try:
            found = list(compiled.finditer(value))
        except UnicodeEncodeError:  # a lone half of a surrogate pair; each becomes one other character
            found = list(compiled.finditer(value.encode("utf-8", "replace").decode("utf-8")))
        for each in found:
            start, end = each.span()
            if end > start:
                yield start, end

    return find
