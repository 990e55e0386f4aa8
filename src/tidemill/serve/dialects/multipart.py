"""A form of several parts, as files are sent (RFC 7578): read just enough to know what is in it, and to change one field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidemill.core.errors import Invalid

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
_FILE: Final = re.compile(rb'[;\s]filename="([^"]*)"', re.IGNORECASE)
_MOST_PARTS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class FormPart:
    """One field of a form: its value is at `start` to `end` of the body. `filename` is None for one that is no file."""

    name: str
    filename: str | None
    start: int
    end: int


class Form:
    """A form, and its fields by name. Raises `Invalid` for one that is cut off, or says a field twice that can be said once."""

    def __init__(self, body: bytes, *, content_type: str) -> None:
        found = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/form-data") or found is None:
            raise Invalid(
                "the request is not a form with files", hint="Send content-type multipart/form-data with its boundary."
            )
        self._body = body
        self._delimiter = b"--" + (found[1] or found[2]).encode("latin-1")
        self.parts = self._read()

    def text(self, name: str) -> str | None:
        """The value of a field, None where there is none."""
        part = self._one(name)
        if part is None:
            return None
        try:
            return self._body[part.start : part.end].decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"{name} is not UTF-8", where=name) from error

    def file(self, name: str) -> FormPart:
        """A file that has to be there."""
        part = self._one(name)
        if part is None or part.filename is None:
            raise Invalid(f"{name} is missing", where=name, hint="Send it as a file.")
        return part

    def with_text(self, name: str, value: str) -> bytes:
        """The body with another value of one field, and every other byte as it was."""
        part = self._one(name)
        if part is None:
            raise Invalid(f"{name} is missing", where=name)
        return self._body[: part.start] + value.encode() + self._body[part.end :]

    def _one(self, name: str) -> FormPart | None:
        found = [each for each in self.parts if each.name == name]
        if len(found) > 1:
            raise Invalid(f"{name} is said {len(found)} times", where=name, hint="Say it once.")
        return found[0] if found else None

    def _read(self) -> list[FormPart]:
        parts: list[FormPart] = []
        at = 0 if self._body.startswith(self._delimiter) else self._body.find(b"\r\n" + self._delimiter) + 2
        if at == 1:
            raise _broken()
        while True:
            start = at + len(self._delimiter)
            if self._body[start : start + 2] == b"--":
                return parts
            heads = self._body.find(b"\r\n\r\n", start)
            end = self._body.find(b"\r\n" + self._delimiter, heads)
            if self._body[start : start + 2] != b"\r\n" or heads < 0 or end < 0 or len(parts) >= _MOST_PARTS:
                raise _broken()
            parts.append(_part(self._body[start + 2 : heads], heads + 4, max(end, heads + 4)))
            at = end + 2


def _part(heads: bytes, start: int, end: int) -> FormPart:
    lines = [each for each in heads.split(b"\r\n") if each.lower().startswith(b"content-disposition:")]
    name = _NAME.search(lines[0]) if len(lines) == 1 else None
    if name is None:
        raise _broken()
    file = _FILE.search(lines[0])
    filename = None if file is None else file[1].decode("utf-8", "replace")
    return FormPart(name=name[1].decode("utf-8", "replace"), filename=filename, start=start, end=end)


def _broken() -> Invalid:
    return Invalid("the form is broken or cut off", hint="Send each part with a name, and the boundary at the end.")
