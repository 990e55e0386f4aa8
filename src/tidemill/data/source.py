"""Where an index's documents come from, and reading one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import DocumentParser, load_extension
from tidemill.core.records import Document


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A document's original bytes. `format` is the ending under which its parser is registered."""

    id: str
    format: str
    content: bytes


def read_document(file: SourceFile) -> Document:
    """Parse a document; its digest is that of the original bytes. Raises `Invalid` when it cannot be read or is empty."""
    document = _parser(file.format).parse(file.content, id=file.id)
    if not document.text.strip():
        raise Invalid(f"{file.id} holds no text", hint="Leave it out, or put the document there.")
    return replace(document, digest=digest_bytes(file.content))


def check_file(file: SourceFile) -> Problem | None:
    """Why a file cannot be read, found without reading all of it; None when nothing was found.

    A parser that has a `check` of the same form as its `parse` is asked; others are trusted until they parse.
    """
    if not file.content.strip():
        return _unreadable(Invalid(f"{file.id} is an empty file", hint="Leave it out, or put the document there."))
    check = cast("Callable[..., None] | None", getattr(_parser(file.format), "check", None))
    if check is None:
        return None
    try:
        check(file.content, id=file.id)
    except Invalid as error:
        return _unreadable(error)
    return None


def _unreadable(error: Invalid) -> Problem:
    return Problem(message=f"{error.message}; it is not indexed", where="source", hint=error.hint)


def _parser(format: str) -> DocumentParser:  # noqa: A002  (as in SourceFile)
    return cast("Callable[[], DocumentParser]", load_extension("document_parsers", format))()
