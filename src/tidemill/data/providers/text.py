"""Plain text: no headings, the first line is the title."""

from __future__ import annotations

from tidemill.core.records import Document
from tidemill.data.providers.decoding import read_text
from tidemill.data.providers.outline import title_of


class TextParser:
    """Reads UTF-8 text."""

    def check(self, content: bytes, *, id: str) -> None:  # noqa: A002  (the field's name in Document)
        """Raise `Invalid` when the content cannot be read."""
        read_text(content, name=id)

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The text as it stands."""
        text = read_text(content, name=id)
        return Document(id=id, text=text, title=title_of(text), metadata={"format": "text"})
