"""reStructuredText: headings by their adornment, fields at the top as metadata. Directives are never executed.

The text stays as written, so that offsets point into the source. Rules of headings: docutils' reStructuredText specification,
"Sections"; the level of an adornment is the order in which it first appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidemill.core.records import Document
from tidemill.data.providers.decoding import read_text
from tidemill.data.providers.outline import Heading, sections_of, title_of

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+")
_FIELD = re.compile(r":?([A-Za-z][A-Za-z0-9_-]{0,40}):\s+(\S.*)")
_MARKUP = re.compile(
    r":[a-z:+-]+:`([^`<]*?)(?:\s*<[^>`]*>)?`|``([^`]*)``|`([^`<]*?)(?:\s*<[^>`]*>)?`_{0,2}|\*{1,2}([^*]+)\*{1,2}"
)
_SHORTEST = 4


class RstParser:
    """Reads reStructuredText."""

    def check(self, content: bytes, *, id: str) -> None:  # noqa: A002  (the field's name in Document)
        """Raise `Invalid` when the content cannot be read."""
        read_text(content, name=id)

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The text with a section for every adorned heading."""
        text = read_text(content, name=id)
        headings = list(_headings(text))
        fields = _fields(text)
        title = fields.get("title") or (headings[0].title if headings else title_of(text))
        return Document(
            id=id,
            text=text,
            title=title,
            sections=sections_of(headings, length=len(text)),
            metadata={"format": "rst", **{name: value for name, value in fields.items() if name != "title"}},
        )


def _headings(text: str) -> Iterator[Heading]:
    lines = text.split("\n")
    levels: dict[tuple[str, bool], int] = {}
    offset = 0
    starts: list[int] = []
    for line in lines:
        starts.append(offset)
        offset += len(line) + 1
    for number in range(1, len(lines)):
        over = _is_overlined(lines, number)
        if not _is_heading(lines, number, over=over):
            continue
        level = levels.setdefault((lines[number][0], over), len(levels) + 1)
        title = _MARKUP.sub(lambda match: next(filter(None, match.groups()), ""), lines[number - 1].strip())
        yield Heading(title=title, level=level, start=starts[number - 2 if over else number - 1])


def _is_overlined(lines: list[str], number: int) -> bool:
    return number >= 2 and _ADORNMENT.fullmatch(lines[number - 2]) is not None and lines[number - 2] == lines[number].rstrip()


def _is_heading(lines: list[str], number: int, *, over: bool) -> bool:
    under, title = lines[number].rstrip(), lines[number - 1].rstrip()
    if not title or _ADORNMENT.fullmatch(under) is None or _ADORNMENT.fullmatch(title):
        return False
    if len(under) < len(title) and len(under) < _SHORTEST:
        return False
    if over:
        return True
    return not title[0].isspace() and (
        number < 2 or not lines[number - 2].strip() or _ADORNMENT.fullmatch(lines[number - 2]) is not None
    )


def _fields(text: str) -> dict[str, str]:
    """`Name: value` lines at the very top, as in a PEP's header, or `:name: value`."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        match = _FIELD.fullmatch(line.rstrip())
        if match is not None:
            last = match[1].lower().replace("-", "_")
            fields[last] = match[2]
        elif last and line[:1].isspace() and line.strip():
            fields[last] += " " + line.strip()
        else:
            break
    return fields
