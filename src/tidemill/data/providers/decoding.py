"""Bytes of a text file as text, with one kind of line end."""

from __future__ import annotations

import codecs
import re

from tidemill.core.errors import Invalid

_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_HEAD = 4096


def read_text(content: bytes, *, name: str) -> str:
    """UTF-8 (a byte order mark is dropped), or UTF-16 with a mark, with a line feed as the line end.

    Raises `Invalid` for other bytes, naming the line.
    """
    try:
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return _unify(content.decode("utf-16" if utf16 else "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        bad = content[error.start : error.start + 1].hex()
        raise Invalid(f"{name}:{line}: the byte 0x{bad} is not UTF-8", hint="Save the file as UTF-8.") from error


def read_html(content: bytes, *, name: str) -> str:
    """UTF-8, else the encoding that the page's `meta` element declares."""
    try:
        return read_text(content, name=name)
    except Invalid:
        declared = _DECLARED.search(content[:_HEAD])
        if declared is None:
            raise
        encoding = declared[1].decode("ascii")
    try:
        return _unify(content.decode(encoding, errors="strict"))
    except (LookupError, UnicodeDecodeError) as error:
        raise Invalid(f"{name} declares the encoding {encoding} but is not in it", hint="Save the file as UTF-8.") from error


def _unify(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
