"""What reaches the terminal: colour with one meaning each, only in a terminal, and never alone."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from typing import Literal, TextIO, TypeAlias

import orjson

Tone: TypeAlias = Literal["plain", "good", "bad", "unsure", "quiet", "strong"]
LONGEST_LINE = 100
_CODES = {"good": "32", "bad": "31", "unsure": "33", "quiet": "2", "strong": "1"}
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WORD_CHANGE = re.compile(r"\[-(.*?)-\]|\{\+(.*?)\+\}", re.DOTALL)


def in_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads the stream (default: standard output)."""
    return (stream or sys.stdout).isatty()


def coloured(stream: TextIO | None = None) -> bool:
    """Whether the stream may hold colour: a terminal, `NO_COLOR` unset (no-color.org), not a dumb one."""
    return in_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns to use: at most 100, fewer in a narrower terminal."""
    return min(LONGEST_LINE, shutil.get_terminal_size((LONGEST_LINE, 24)).columns) if in_terminal() else LONGEST_LINE


def paint(text: str, tone: Tone = "plain", *, stream: TextIO | None = None) -> str:
    """The text in its tone's colour, where colour is shown."""
    code = _CODES.get(tone)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text and coloured(stream) else text


def paint_words(text: str) -> str:
    """Colour the words that changed, `[-old-]` and `{+new+}`; the marks stay."""
    return _WORD_CHANGE.sub(lambda match: paint(match[0], "bad" if match[0].startswith("[") else "good"), text)


def clean(text: str) -> str:
    """Text that others wrote, without control sequences, which could rewrite the reader's screen."""
    return _CONTROL.sub("", text)


def one_line(text: str, *, longest: int) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(clean(text[: longest * 4]).split())
    return cut(flat, longest)


def cut(text: str, longest: int) -> str:
    """At most so many columns of a line; `…` says that there is more."""
    if cells(text) <= longest:
        return text
    kept, used = list[str](), 1
    for char in text:
        used += cells(char)
        if used > longest:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def cells(text: str) -> int:
    """How many columns a text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def wrapped(text: str, *, indent: str = "", longest: int | None = None) -> list[str]:
    """Lines of at most `longest` columns, each with the indent; the text's own line breaks stay."""
    room = (longest or width()) - len(indent)
    lines = list[str]()
    for line in text.splitlines() or [""]:
        lines += textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [(indent + line).rstrip() for line in lines]


def say(text: str = "") -> None:
    """Print a line to standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a line to standard error: what is not the answer itself."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_json(document: object) -> None:
    """Print one JSON document: indented for a person, on one line for a program."""
    option = orjson.OPT_INDENT_2 if in_terminal() else 0
    sys.stdout.write(orjson.dumps(document, option=option, default=str).decode() + "\n")
    sys.stdout.flush()
