"""PDF: the text of its pages, through pypdf. A chunk's page comes from `page_starts` in the document's metadata."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from typing import TYPE_CHECKING

from tidemill.core.errors import Invalid, MissingExtra
from tidemill.core.json import Json
from tidemill.core.records import Document
from tidemill.data.providers.outline import title_of

if TYPE_CHECKING:
    from pypdf import PdfReader

# What pypdf lets through when a file is broken, besides its own errors.
_BROKEN = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RecursionError, OverflowError, OSError,
    NotImplementedError, struct.error, zlib.error,
)  # fmt: skip
_PAGE_BREAK = "\n\n"

logging.getLogger("pypdf").addHandler(logging.NullHandler())


class PdfParser:
    """Reads PDF files that hold text; a scanned page holds none."""

    def check(self, content: bytes, *, id: str) -> None:  # noqa: A002  (the field's name in Document)
        """Raise `Invalid` when it is encrypted, corrupt or without pages."""
        _open(content, name=id)

    def parse(self, content: bytes, *, id: str) -> Document:  # noqa: A002  (the field's name in Document)
        """The pages' text, a blank line between two. `metadata`: `pages`, `page_starts`, `unreadable_pages` if any."""
        from pypdf.errors import PyPdfError  # noqa: PLC0415  (heavy)

        reader = _open(content, name=id)
        pages: list[str] = []
        unreadable: list[Json] = []
        for number in range(len(reader.pages)):
            try:
                pages.append(_clean(reader.pages[number].extract_text()))
            except (PyPdfError, *_BROKEN):
                pages.append("")
                unreadable.append(number + 1)
        if not any(each.strip() for each in pages):
            why = "every page is broken" if len(unreadable) == len(pages) else "it holds no text; it may be a scan"
            raise Invalid(f"{id}: {why}", hint="Run text recognition (OCR) on it, or leave it out.")
        starts: list[Json] = []
        length = 0
        for page in pages:
            starts.append(length)
            length += len(page) + len(_PAGE_BREAK)
        text = _PAGE_BREAK.join(pages)
        metadata: dict[str, Json] = {"format": "pdf", "pages": len(pages), "page_starts": starts}
        if unreadable:
            metadata["unreadable_pages"] = unreadable
        return Document(id=id, text=text, title=_title(reader) or title_of(text), metadata=metadata)


def _open(content: bytes, *, name: str) -> PdfReader:
    try:
        from pypdf import PdfReader  # noqa: PLC0415  (heavy)
        from pypdf.errors import DependencyError, PyPdfError  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="reading PDF") from error
    if not content:
        raise Invalid(f"{name} is an empty file", hint="Leave it out, or put the document there.")
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Invalid(f"{name} is encrypted", hint="Save a copy without a password.")
        count = len(reader.pages)
    except DependencyError as error:
        raise Invalid(f"{name} is encrypted", hint="Save a copy without a password.") from error
    except (PyPdfError, *_BROKEN) as error:
        raise Invalid(
            f"{name} is not a readable PDF: {str(error)[:120] or type(error).__name__}", hint="It may be cut off."
        ) from error
    if not count:
        raise Invalid(f"{name} has no pages", hint="It may be cut off.")
    return reader


def _title(reader: PdfReader) -> str:
    from pypdf.errors import PyPdfError  # noqa: PLC0415  (heavy)

    try:
        title = reader.metadata.title if reader.metadata else None
    except (PyPdfError, *_BROKEN):
        return ""
    return _clean(title or "").strip()


def _clean(text: str) -> str:
    """Without lone surrogates and NULs, which a broken font table can produce and which no store can carry."""
    return text.encode("utf-8", errors="replace").decode("utf-8").replace("\x00", "")
