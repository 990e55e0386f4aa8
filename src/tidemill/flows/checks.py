"""The checks that come with Tidemill: a pattern, a list of words, a length. Each finds places in a text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tidemill.core.errors import Invalid

_LONGEST_PATTERN = 2000


class Pattern:
    """Finds what regular expressions match. `pattern` is one, `patterns` several; `label` names what they find."""

    name = "regex"

    def __init__(
        self, *, pattern: str | None = None, patterns: Sequence[str] = (), label: str = "pattern", ignore_case: bool = False
    ) -> None:
        written = [*([pattern] if pattern is not None else []), *patterns]
        if not written:
            raise Invalid("regex needs a pattern", hint="Write check: {regex: {pattern: …}}.")
        self._label = label
        self._compiled = [_compiled(each, ignore_case=ignore_case) for each in written]

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Every match that is not empty, in order."""
        found = {match.span() for each in self._compiled for match in each.finditer(text)}
        return [(start, end, self._label) for start, end in sorted(found) if end > start]


class Denylist:
    """Finds words and phrases, whole and in any case."""

    name = "denylist"

    def __init__(self, *, words: Sequence[str], label: str = "denied") -> None:
        if isinstance(words, str) or not all(isinstance(each, str) and each.strip() for each in words) or not words:
            raise Invalid("denylist needs a list of words", hint="Write check: {denylist: {words: [one, another]}}.")
        alternatives = "|".join(re.escape(each.strip()) for each in sorted(words, key=len, reverse=True))
        self._compiled = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)
        self._label = label

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Every listed word, in order."""
        return [(*match.span(), self._label) for match in self._compiled.finditer(text)]


class MaxLength:
    """Finds what goes beyond `characters`."""

    name = "max_length"
    reads_all = True

    def __init__(self, *, characters: int) -> None:
        if isinstance(characters, bool) or not isinstance(characters, int) or characters < 1:
            raise Invalid(
                "max_length needs characters, a whole number from 1", hint="Write check: {max_length: {characters: 4000}}."
            )
        self._characters = characters

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """The part that is too long, if any."""
        return [(self._characters, len(text), "too_long")] if len(text) > self._characters else []


def _compiled(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        raise Invalid(f"a pattern is text of at most {_LONGEST_PATTERN} characters")
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise Invalid(f"{pattern!r} is not a regular expression: {error}") from error
