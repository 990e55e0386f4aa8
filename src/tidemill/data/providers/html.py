"""HTML: what a reader sees, with headings; no scripts, styles, menus or forms. Through selectolax."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.core.errors import Invalid, MissingExtra
from tidemill.core.records import Document
from tidemill.data.providers.decoding import read_html
from tidemill.data.providers.outline import Heading, sections_of, title_of

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_UNSEEN = frozenset(
    "script style noscript template head nav footer aside form button select input textarea svg math canvas iframe object video"
    " audio map dialog -comment".split()
)  # fmt: skip
_UNSEEN_ROLES = frozenset("navigation search banner contentinfo complementary menu menubar".split())
_BLOCKS = frozenset(
    "address article blockquote body center dd details div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 header hgroup hr"
    " html li main ol p pre section summary table tbody tfoot thead tr ul".split()
)  # fmt: skip
_PARAGRAPHS = frozenset("p pre h1 h2 h3 h4 h5 h6 ul ol dl table blockquote figure section article".split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\n\r\f\v\u00a0]+")


class HtmlParser:
    """Reads HTML as a person sees it."""

    def check(self, content: bytes, *, id: str) -> None:  # noqa: A002  (the field's name in Document)
        """Raise `Invalid` when the content cannot be read."""
        read_html(content, name=id)

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The visible text, a section for every heading. Offsets point into this text."""
        tree = _tree(read_html(content, name=id))
        writer = _Writer()
        root = _content_of(tree)
        if root is not None:
            _walk(root, writer)
        text, headings = writer.finish()
        named = tree.css_first("title")
        title = _SPACE.sub(" ", named.text()).strip() if named else ""
        return Document(
            id=id,
            text=text,
            title=title or (headings[0].title if headings else title_of(text)),
            sections=sections_of(headings, length=len(text)),
            metadata={"format": "html"},
        )


def _tree(text: str) -> LexborHTMLParser:
    try:
        from selectolax.lexbor import LexborHTMLParser, SelectolaxError  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="reading HTML") from error
    try:
        return LexborHTMLParser(text)
    except SelectolaxError as error:
        raise Invalid(f"not readable as HTML: {error}") from error


def _content_of(tree: LexborHTMLParser) -> LexborNode | None:
    """The page's one `main`, when it says which it is; else all of it."""
    mains = tree.css("main, [role=main]")
    return mains[0] if len(mains) == 1 else tree.body


def _walk(root: LexborNode, writer: _Writer) -> None:
    """Depth first without recursion: pages nest as deep as they like."""
    for node, entering in _steps(root):
        tag = node.tag or ""
        if tag == "-text":
            writer.text(node.text_content or "")
        elif entering:
            writer.enter(tag)
        else:
            writer.leave(tag)


def _steps(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        tag = node.tag or ""
        if entering and node.is_element_node and _is_unseen(node, tag):
            continue
        if tag == "-comment":
            continue
        yield node, entering
        if not entering or not node.is_element_node:
            continue
        stack.append((node, False))
        children = list(_children(node))
        stack.extend((child, True) for child in reversed(children))


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.first_child
    while child is not None:
        yield child
        child = child.next


def _is_unseen(node: LexborNode, tag: str) -> bool:
    if tag in _UNSEEN:
        return True
    attributes = node.attributes
    if tag == "header":
        return node.css_first("h1, h2, h3, h4, h5, h6") is None
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in _UNSEEN_ROLES
        or "data-nosnippet" in attributes
        or "nosearch" in (attributes.get("class") or "").split()
    )


class _Writer:
    """Text as it is laid out: runs of space become one, blocks stand on lines of their own, `pre` keeps its lines."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._tail = "\n\n"
        self._space = False
        self._pre = 0
        self._headings: list[Heading] = []
        self._open: tuple[int, int, int] | None = None

    def text(self, text: str) -> None:
        if self._pre:
            self._put(text)
            return
        collapsed = _SPACE.sub(" ", text)
        if collapsed.startswith(" ") and not self._tail.endswith("\n"):
            self._space = True
        words = collapsed.strip(" ")
        if words:
            self._put((" " if self._space else "") + words)
            self._space = collapsed.endswith(" ")

    def enter(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._break(2 if tag in _PARAGRAPHS else 1)
        if tag == "br":
            self._space = False
            self._put("\n")
        elif tag == "li":
            self._put("- ")
        elif tag in {"td", "th"}:
            self._space = False
            if not self._tail.endswith("\n"):
                self._put(" | ")
        elif tag == "pre":
            self._pre += 1
        elif tag in _HEADINGS:
            self._open = (_HEADINGS[tag], self._length, len(self._pieces))

    def leave(self, tag: str) -> None:
        if tag in _HEADINGS and self._open is not None:
            level, start, piece = self._open
            title = _SPACE.sub(" ", "".join(self._pieces[piece:])).strip()
            if title:
                self._headings.append(Heading(title=title, level=level, start=start))
            self._open = None
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
        if tag in _BLOCKS:
            self._break(2 if tag in _PARAGRAPHS else 1)

    def finish(self) -> tuple[str, list[Heading]]:
        return "".join(self._pieces).rstrip(), self._headings

    def _break(self, lines: int) -> None:
        self._space = False
        present = len(self._tail) - len(self._tail.rstrip("\n"))
        if present < lines:
            self._put("\n" * (lines - present))

    def _put(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._length += len(text)
            self._tail = (self._tail + text)[-2:]
