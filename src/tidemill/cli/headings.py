"""The headings of a user's documents, for a first set of questions. Read lightly: only to suggest, never to index."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

_MARKDOWN = re.compile(r"^#{1,3}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_UNDERLINED = re.compile(r"^(?=\S)(.{2,80})\n([=\-~^\"'*+#])\2{2,}[ \t]*$", re.MULTILINE)
_HTML = re.compile(r"<h[1-3]\b[^>]*>(.*?)</h[1-3]>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"[`*_]{1,3}|\[([^\]]*)\]\([^)]*\)|:\w+:(?=`)|¶")
_SHORTEST, _LONGEST = 3, 90
_LARGEST_READ = 512 * 1024


def headings_of(file: Path) -> list[str]:
    """A document's headings in their order, without repetitions; its name when it has none that can be read."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_READ).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except OSError:
        text = ""
    found = [title for each in _raw(file.suffix.lower(), text) if (title := _plain(each))]
    return list(dict.fromkeys(found)) or [re.sub(r"[-_.]+", " ", file.stem).strip() or file.name]


def _raw(ending: str, text: str) -> Iterator[str]:
    if ending in {".html", ".htm"}:
        yield from (html.unescape(_TAG.sub(" ", each)) for each in _HTML.findall(text))
        return
    if ending in {".md", ".markdown"}:
        text = _CODE_BLOCK.sub("", text)
        yield from (
            match[1]
            for match in sorted([*_MARKDOWN.finditer(text), *_UNDERLINED.finditer(text)], key=lambda each: each.start())
        )
    elif ending in {".rst", ".txt"}:
        yield from (match[1] for match in _UNDERLINED.finditer(text))


def _plain(heading: str) -> str:
    text = " ".join(_MARKUP.sub(r"\1", heading).split())
    return text if _SHORTEST <= len(text) <= _LONGEST and any(char.isalpha() for char in text) else ""
