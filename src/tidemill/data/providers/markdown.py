"""Markdown: CommonMark headings, front matter as metadata. The text stays as written, so that offsets point into the source."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from tidemill.core.errors import MissingExtra
from tidemill.core.records import Document
from tidemill.data.providers.decoding import read_text
from tidemill.data.providers.outline import Heading, sections_of, title_of

_FRONT_MATTER = re.compile(r"---\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_SCALAR = re.compile(r"([A-Za-z][\w-]{0,60}):[ \t]+(\S.*)")
_ANCHOR = re.compile(r"\s*\{\s*#[^}]*\}\s*$")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_EMPHASIS = re.compile(r"(\*\*|__|\*|`+)(?=\S)(.+?)(?<=\S)\1")


class MarkdownParser:
    """Reads CommonMark."""

    def check(self, content: bytes, *, id: str) -> None:  # noqa: A002  (the field's name in Document)
        """Raise `Invalid` when the content cannot be read."""
        read_text(content, name=id)

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The text with a section for every heading."""
        text = read_text(content, name=id)
        front = _FRONT_MATTER.match(text)
        fields = _scalars(front[1] or "") if front else {}
        body = text[front.end() :] if front else text
        headings = list(_headings(body, offset=front.end() if front else 0))
        top = next((each.title for each in headings if each.level == 1), "")
        return Document(
            id=id,
            text=text,
            title=fields.pop("title", "") or top or (headings[0].title if headings else title_of(body)),
            sections=sections_of(headings, length=len(text)),
            metadata={"format": "markdown", **fields},
        )


def _headings(text: str, *, offset: int) -> Iterator[Heading]:
    try:
        from markdown_it import MarkdownIt  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="reading Markdown") from error
    parser = MarkdownIt("commonmark")
    parser.core.ruler.disable(["inline"])
    tokens = parser.parse(text)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map is not None:
            title = _plain(inline.content)
            if title:
                yield Heading(title=title, level=int(token.tag[1]), start=offset + starts[token.map[0]])


def _plain(title: str) -> str:
    title = _LINK.sub(r"\1", _ANCHOR.sub("", title.replace("\n", " ")))
    return _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", title)).strip()


def _scalars(front: str) -> dict[str, str]:
    """Only `name: value` lines: front matter is data, and nothing in it is built or executed."""
    found = (_SCALAR.fullmatch(line.rstrip()) for line in front.split("\n"))
    return {match[1].lower(): match[2].strip("\"'") for match in found if match is not None}
