"""What the words of a text are, and how they are looked for: the same in the store and in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(r"[0-9A-Za-z\u0080-\U0010ffff]+")
_ESCAPED: Final = re.compile(r"\\[nrt]")


def split_words(text: str) -> tuple[Sequence[str], Sequence[str]]:
    """Words of ASCII letters and digits in lower case, and the others, which are looked for anywhere in a text.

    Scripts without spaces between words have no words that could be told apart. A text of signs alone is one of the others.
    """
    words = _WORD.findall(text)
    plain = sorted({word.lower() for word in words if word.isascii()})
    others = {word for word in words if not word.isascii()} or ({text.strip()} if text.strip() and not words else set[str]())
    return plain, sorted(others)


def word_pattern(word: str) -> str:
    """The pattern (RE2's and Python's) by which a whole word is found in any case."""
    return f"(?i)(^|[^0-9A-Za-z]){re.escape(word)}($|[^0-9A-Za-z])"


def piece_pattern(piece: str) -> str:
    """The pattern by which a piece of text is found in any case."""
    return f"(?i){re.escape(piece)}"


def has_words(searched: str, wanted: str) -> bool:
    """Whether all words of `wanted` stand in a text (JSON's escapes of white space are white space)."""
    plain, others = split_words(wanted)
    found = _ESCAPED.sub(" ", searched)
    return all(re.search(word_pattern(word), found) for word in plain) and all(
        re.search(piece_pattern(other), found) for other in others
    )
