"""The pieces of an expression: keys, operators, texts, words and brackets, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tidemill.core.errors import Invalid

LONGEST: Final = 8000
_SHOWN: Final = 30

Kind: TypeAlias = Literal["operator", "open", "close", "comma", "text", "word", "end"]
_PIECE: Final = re.compile(
    r"""(?P<space>\s+) | (?P<operator>!=|!~|<=|>=|==|=|<|>|~) | (?P<open>\() | (?P<close>\)) | (?P<comma>,)
    | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""",
    re.VERBOSE | re.DOTALL,
)
_KEY: Final = re.compile(r"""[A-Za-z_][\w\-]*(?:\.(?:[\w\-]+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))*""", re.DOTALL)
_APOSTROPHE: Final = r"(?<=\w)'(?=\w)"
_WORD: Final = re.compile(rf"(?:[^\s()\"'=<>~!,]|{_APOSTROPHE}|!(?![=~])|,(?=\S))+")
_VALUE: Final = re.compile(rf"(?:[^\s()\"',]|{_APOSTROPHE}|,(?=[^\s)]))+")
_LISTED: Final = re.compile(rf"(?:[^\s()\"',]|{_APOSTROPHE})+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` is without its quotes; `start` and `end` are places in the expression."""

    kind: Kind
    text: str
    start: int
    end: int


class Source:
    """An expression while it is read. Raises `Invalid` for one that is too long, or has a NUL in it."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise Invalid(f"the filter has {len(text):,} characters, more than {LONGEST:,}", hint="Ask for less at once.")
        self.text = text
        self.at = 0
        if "\0" in text:
            raise self.wrong("the filter holds a NUL character", text.index("\0"), hint="Leave it out.")

    def key(self) -> tuple[str, int] | None:
        """The key that begins here, as written, and where it ends; not taken yet."""
        self._pass_space()
        match = _KEY.match(self.text, self.at)
        return (match[0], match.end()) if match else None

    def ends_at(self, place: int) -> bool:
        """Whether a key that ends here is one: white space, an operator or nothing follows."""
        return place >= len(self.text) or self.text[place].isspace() or self.text[place] in "=<>~!)"

    def next(self, *, at: int | None = None, value: bool = False, listed: bool = False) -> Piece:
        """The piece that begins here (or at `at`), not taken yet; `value` where anything up to the next space may be one."""
        start = self.at if at is None else at
        while start < len(self.text) and self.text[start].isspace():
            start += 1
        if start >= len(self.text):
            return Piece("end", "", start, start)
        match = _PIECE.match(self.text, start)
        kind = match.lastgroup if match else None
        if match and kind == "text":
            return Piece("text", unquoted(match[0]), start, match.end())
        if match and kind in {"open", "close", "comma"}:
            return Piece("open" if kind == "open" else "close" if kind == "close" else "comma", match[0], start, match.end())
        if self.text[start] in "\"'":
            raise self.wrong("the filter has an open quote", start, hint="Close it, or leave it out.")
        if match and not value:
            return Piece("operator", match[0], start, match.end())
        word = (_LISTED if listed else _VALUE if value else _WORD).match(self.text, start)
        if word is None:
            raise self.wrong(f"{self.text[start]!r} means nothing here", start, hint="Put texts into quotes.")
        return Piece("word", word[0], start, word.end())

    def wrong(self, message: str, start: int, *, hint: str = "") -> Invalid:
        """The error that points at a place."""
        before, after = self.text[max(0, start - _SHOWN) : start], self.text[start : start + _SHOWN]
        excerpt = f"{'…' if start > _SHOWN else ''}{before}▸{after}{'…' if start + _SHOWN < len(self.text) else ''}"
        return Invalid(message, hint=hint, where=f"the filter at {start + 1}: {' '.join(excerpt.split())}")

    def _pass_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1


def unquoted(text: str) -> str:
    """What stands between quotes; a backslash stands before a quote or a backslash that is meant as such."""
    mark = text[0]
    return _ESCAPED.sub(lambda found: found[1] if found[1] in {mark, "\\"} else found[0], text[1:-1])
