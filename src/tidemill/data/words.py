"""Words of a text, for full-text search: the same for documents and queries."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

VERSION = "words/1"
_WORD = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")
# Scripts that do not part words by spaces: Thai, Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f]+"
)


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents and plural endings; pairs of characters where a script does not part words.

    No word is left out: in a manual of a programming language, `for` and `with` are what people look for. An identifier with
    underscores counts whole and in its parts.
    """
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    for word in _WORD.findall(folded):
        yield from _terms(word)


@functools.lru_cache(maxsize=1 << 16)
def _terms(word: str) -> tuple[str, ...]:
    if not word.isascii():
        return tuple(_spaced(word))
    parts = word.split("_") if "_" in word else ()
    return (stem(word), *(stem(each) for each in parts if each))


def stem(word: str) -> str:
    """Without an English plural ending. The "S" stemmer of D. Harman: "How effective is suffixing?", JASIS 42(1), 1991.

    Besides its rules, `classes` and `indexes` lose their whole ending.
    """
    if len(word) <= 3 or not word.endswith("s"):
        return word
    if word.endswith(("sses", "xes")):
        return word[:-2]
    if word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    return word if word[-2] in "us" else word[:-1]


def _spaced(word: str) -> Iterator[str]:
    position = 0
    for run in _UNSPACED.finditer(word):
        yield from _plain(word[position : run.start()])
        characters = run[0]
        yield from (characters[at : at + 2] for at in range(max(1, len(characters) - 1)))
        position = run.end()
    yield from _plain(word[position:])


def _plain(word: str) -> Iterator[str]:
    bare = "".join(each for each in unicodedata.normalize("NFKD", word) if not unicodedata.combining(each))
    if bare:
        yield stem(bare)
