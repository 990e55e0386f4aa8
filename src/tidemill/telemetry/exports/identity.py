"""Ids of other platforms as OpenTelemetry's: the same id gives the same one every time, so that nothing is doubled.

A hexadecimal id of the right length is kept, a UUID becomes a trace's id by leaving out its dashes, base64 of the right length
is decoded; anything else is hashed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from tidemill.core.json import Json

TRACE: Final = "tidemill.import.trace_id"
SPAN: Final = "tidemill.import.span_id"
FORMAT: Final = "tidemill.import.format"
"""Attributes that keep what the file said, where the ids here are others, and which format it was."""

_TRACE: Final = 32
_SPAN: Final = 16
_LONGEST: Final = 256


def trace_id(text: str) -> str:
    """32 hexadecimal digits; empty for an empty text."""
    return _hex(text, _TRACE)


def span_id(text: str) -> str:
    """16 hexadecimal digits; empty for an empty text."""
    return _hex(text, _SPAN)


def originals(*, trace: str, span: str, form: str) -> dict[str, Json]:
    """The attributes that say where a span came from: the format, and those ids that became others for good."""
    kept: dict[str, Json] = {FORMAT: form}
    for name, given, made in ((TRACE, trace, trace_id(trace)), (SPAN, span, span_id(span))):
        if given and made not in (given, _decoded(given), given.lower().removeprefix("0x").removeprefix("tr-")):
            kept[name] = given[:_LONGEST]
    return kept


def _hex(text: str, width: int) -> str:
    if not text:
        return ""
    plain = text.lower().removeprefix("0x")
    if width == _TRACE:
        plain = plain.removeprefix("tr-")  # MLflow's requests
    digits = plain.replace("-", "") if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", plain) else plain
    found = digits if re.fullmatch(r"[0-9a-f]+", digits) else _decoded(text)
    if len(found) == width and found.strip("0"):
        return found
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:width]


def _decoded(text: str) -> str:
    if len(text) not in {12, 24}:
        return ""
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:  # of base64, and of letters that are not ASCII
        return ""
