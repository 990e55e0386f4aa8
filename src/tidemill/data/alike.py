"""Whether two samples ask the same: compared by their words alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from tidemill.core.json import Json
from tidemill.core.records import Sample

_NOT_WORDS = re.compile(r"[\W_]+")


def same_words(text: str) -> str:
    """What is compared: compatibility forms, lower case, words only, one space between them."""
    return " ".join(_NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split())


def asked(sample: Sample) -> str:
    """What a sample asks, as text: its input, or in a conversation the user's words."""
    for value in (sample.row.get("messages"), sample.row.get("prompt"), sample.input):
        if text := words_of(value):
            return text
    return ""


def words_of(value: Json) -> str:
    """The text in a value; of a conversation what the user says."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if "role" in value:
            return words_of(value.get("content")) if value.get("role") == "user" else ""
        return " ".join(filter(None, map(words_of, value.values())))
    if isinstance(value, Sequence):
        return " ".join(filter(None, map(words_of, value)))
    return ""
